"""An event as a publisher hands it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from shared import typeids
from shared.principals import Realm


def _new_event_id() -> str:
    return typeids.encode("evt", typeids.new_id())


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvent:
    """One immutable fact. ``data`` is an object, or its JSON as bytes, which then reach destinations untouched.

    ``id`` (1-128 of ``A-Za-z0-9._:-``) is the event's id everywhere and its idempotency key; without one it gets a new
    ``evt_…``. ``occurred_at`` is aware, and now unless given. ``subject`` is the request's id; request functions demand it.
    """

    realm: Realm
    type: str
    data: Mapping[str, Any] | bytes = field(repr=False)
    subject: str | None = None
    ordering_key: str | None = None
    id: str = field(default_factory=_new_event_id)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def wire(self) -> dict[str, Any]:
        """Return the fields of ``POST /v1/events``, for orjson."""
        fields: dict[str, Any] = {"id": self.id, "type": self.type, "occurred_at": self.occurred_at}
        if self.subject is not None:
            fields["subject"] = self.subject
        if self.ordering_key is not None:
            fields["ordering_key"] = self.ordering_key
        return {**fields, "data": orjson.Fragment(self.data_json())}

    def data_json(self) -> bytes:
        """Return the JSON of ``data``. Raises TypeError for what JSON has no form for, such as a Decimal: make it a string."""
        return self.data if isinstance(self.data, bytes) else orjson.dumps(self.data)

    def body(self) -> bytes:
        """Return the JSON of ``POST /v1/events``."""
        return orjson.dumps(self.wire())
