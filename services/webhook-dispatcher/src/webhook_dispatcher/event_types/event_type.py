"""What an event type is."""

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

APPROVER_NODE_MAX: Final = 10
"""Requests pass at most this many approver nodes; with multi-step approval off, all of it happens at node 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """A named kind of event. ``json_schema`` (draft 2020-12) and ``example`` speak of an event's ``data``; do not change them.

    The schema tells integrators what to expect, and publishers keep it: it names what is known, requires nothing and allows
    everything else, so that a CRM can publish what it already has.
    """

    name: str
    function: str
    description: str
    json_schema: dict[str, Any] = field(repr=False)
    example: dict[str, Any] = field(repr=False)

    @property
    def position(self) -> UUID:
        """Return the id that a list's cursor holds: made of the name, so that it is the same in every process."""
        return uuid5(NAMESPACE_OID, self.name)
