"""The OpenAPI documents as they are committed, for tests that are made from them: reading is quick, making them is not.

That they are those which the services serve is proved by test_the_exported_document_is_the_one_that_is_served.
"""

import json
from typing import Any

from shared.openapi_export import SERVICES
from support.source_tree import ROOT

__all__ = ["SERVICES", "exported_document"]


def exported_document(name: str) -> dict[str, Any]:
    """Return the document of one of the services."""
    document: dict[str, Any] = json.loads((ROOT / "services" / name / "openapi.json").read_text(encoding="utf-8"))
    return document
