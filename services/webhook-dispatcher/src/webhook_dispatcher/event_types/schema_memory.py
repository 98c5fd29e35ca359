"""Compiled schemas of own event types, in a process's memory: bounded by what they may take, the least used forgotten first."""

from collections import OrderedDict
from typing import Final

from webhook_dispatcher.event_types.data_schema import DataSchema
from webhook_dispatcher.event_types.realm_type import RealmTypeRef

NODES_MAX: Final = 40_000
"""Of all remembered schemas together: at the very worst 1 KiB each, most often a tenth of it."""


class SchemaMemory:
    """See the module. A type and its revision are the key: a changed one has another, so nothing here is ever out of date."""

    def __init__(self, nodes_max: int = NODES_MAX) -> None:
        self._nodes_max = nodes_max
        self._nodes = 0
        self._known: OrderedDict[RealmTypeRef, DataSchema] = OrderedDict()

    def get(self, key: RealmTypeRef) -> DataSchema | None:
        """Return a schema that is remembered."""
        schema = self._known.get(key)
        if schema is not None:
            self._known.move_to_end(key)
        return schema

    def put(self, key: RealmTypeRef, schema: DataSchema) -> None:
        """Remember a schema, and forget others where there is no room."""
        if key not in self._known:
            self._nodes += schema.nodes
        self._known[key] = schema
        while self._nodes > self._nodes_max and len(self._known) > 1:
            _, forgotten = self._known.popitem(last=False)
            self._nodes -= forgotten.nodes
