"""Write each service's OpenAPI document to ``services/<name>/openapi.json``; ``make openapi``, and the check for drift."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

SERVICES = {
    "credentials": "credentials",
    "webhook-dispatcher": "webhook_dispatcher",
    "wallet-gateway": "wallet_gateway",
}


def document(package: str) -> dict[str, Any]:
    """Return the OpenAPI document of a service; opens nothing."""
    factory = importlib.import_module(f"{package}.app")
    schema: dict[str, Any] = factory.create_app(factory.Settings.for_documentation()).openapi()
    return schema


def render(schema: dict[str, Any]) -> str:
    """Return the text that is committed."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Export all documents below the folder given (default: the working directory)."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, package in SERVICES.items():
        path = root / "services" / name / "openapi.json"
        path.write_text(render(document(package)), encoding="utf-8")
        print(path)  # noqa: T201 - a command says what it wrote


if __name__ == "__main__":
    main()
