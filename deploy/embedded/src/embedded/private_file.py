"""Files that hold secrets: mode 0600 from their first byte, and replaced as a whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Replace the file atomically: a reader sees the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class KeptValues:
    """Named texts that must be the same on the next run: generated secrets, and ids of what the stack has created."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def set(self, name: str, value: str) -> None:
        self._values[name] = value
        write_json(self._path, self._values)

    def get_or_make(self, name: str, make: Callable[[], str]) -> str:
        """Return the kept value; without one, keep and return what `make` returns."""
        value = self._values.get(name)
        if value is None:
            value = make()
            self.set(name, value)
        return value


def write_json(path: Path, document: dict[str, Any]) -> None:
    write_private(path, json.dumps(document, indent=2) + "\n")
