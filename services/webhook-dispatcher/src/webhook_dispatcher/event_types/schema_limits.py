"""What a JSON Schema from outside may be: one whose every check is bounded, and which needs nothing but itself. Pure.

A schema is measured as if each reference were written out in place: that is how much a validator does with it for each value of
an event. References stay within the schema and never lead back to themselves, so that nothing is fetched, and nothing grows with
the depth of the data. Keywords that are left out are those whose cost grows exponentially (``unevaluated…``, measured in decision
0022), or that hide where a reference leads.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from shared import strict_json
from webhook_dispatcher.event_types.json_schema import DIALECT

NODES_MAX: Final = 4_000
DEPTH_MAX: Final = 32
"""How deep schemas may nest, references followed."""
_PATTERN_NODES: Final = 100
_KEYWORD_NODES: Final = {"pattern": _PATTERN_NODES, "uniqueItems": 20, "multipleOf": 20}
"""What costs more for each byte of data than a comparison does: a hostile pattern of the permitted size 4 µs, 400 times that."""
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS: Final = frozenset(
    {"additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames", "contentSchema"}
)
_REFUSED: Final = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary", "definitions"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_ROOT_ONLY: Final = frozenset({"$id", "$schema"})

Path = tuple[str | int, ...]


class SchemaRefusedError(ValueError):
    """A schema is not acceptable. ``pointer`` is a JSON pointer into it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(detail)
        self.pointer = strict_json.pointer_of(path)
        self.detail = detail


def measure(schema: Mapping[str, Any]) -> int:
    """Return how many nodes a schema has with its references written out; raises SchemaRefusedError.

    Faults of form are not found here: the validator's own check of the schema finds them.
    """
    return _Measuring(schema).nodes_of(schema, ())


class _Measuring:
    """One walk over a schema. ``known`` holds what was measured, by identity: each part is walked once, however often used."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._open: list[int] = []

    def nodes_of(self, schema: object, path: Path) -> int:
        if not isinstance(schema, Mapping):
            return 1
        if id(schema) in self._open:
            raise SchemaRefusedError(path, "refers to itself: a schema may not be recursive")
        if id(schema) in self._known:
            return self._known[id(schema)]
        if len(self._open) >= DEPTH_MAX:
            raise SchemaRefusedError(path, f"nested deeper than {DEPTH_MAX} schemas, references followed")
        self._open.append(id(schema))
        nodes = 1 + sum(self._keyword(name, value, (*path, name)) for name, value in schema.items())
        self._open.pop()
        if nodes > NODES_MAX:
            raise SchemaRefusedError(path, f"larger than {NODES_MAX} nodes, references written out")
        self._known[id(schema)] = nodes
        return nodes

    def _keyword(self, name: str, value: object, path: Path) -> int:
        self._check_allowed(name, value, path)
        if name == "$ref":
            return self._referenced(value, path)
        if name in _SCHEMAS:
            return self.nodes_of(value, path)
        if name in _MAPS and isinstance(value, Mapping):
            patterns = _PATTERN_NODES * len(value) if name == "patternProperties" else 0
            return patterns + sum(self.nodes_of(item, (*path, key)) for key, item in value.items())
        if name in _LISTS and isinstance(value, list):
            return sum(self.nodes_of(item, (*path, index)) for index, item in enumerate(value))
        return _KEYWORD_NODES.get(name, 0) + sum(1 for _ in _values(value))

    def _check_allowed(self, name: str, value: object, path: Path) -> None:
        if name in _REFUSED:
            raise SchemaRefusedError(path, f"{name} is not supported")
        if name in _ROOT_ONLY and len(path) > 1:
            raise SchemaRefusedError(path, f"{name} stands at the top alone")
        if name == "$schema" and (not isinstance(value, str) or value.removesuffix("#") != DIALECT):
            raise SchemaRefusedError(path, f"the dialect is {DIALECT}")

    def _referenced(self, value: object, path: Path) -> int:
        if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
            raise SchemaRefusedError(path, "a reference is a JSON pointer into this schema, #/…; nothing is fetched")
        found: object = self._root
        where: list[str | int] = []
        for part in value.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            where.append(key)
            if isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                raise SchemaRefusedError(path, "the reference leads nowhere")
        return self.nodes_of(found, tuple(where))


def _values(value: object) -> Iterator[object]:
    """Give a value and all that stands in it, without recursion."""
    pending = [value]
    while pending:
        item = pending.pop()
        yield item
        if isinstance(item, Mapping):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
