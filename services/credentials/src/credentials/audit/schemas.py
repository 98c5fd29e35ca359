"""Wire shapes of the audit log."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from credentials.audit.log_repository import Chosen
from credentials.audit.models import StoredEntry
from shared.pagination import FilterTime, PageQuery
from shared.typeids import TypeId


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        # Its zone takes it just outside of what there is: the end of time will do.
        return value.replace(tzinfo=UTC)


Text = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Moment = Annotated[FilterTime, AfterValidator(_utc)]


class AuditFilters(BaseModel):
    """Which entries."""

    model_config = ConfigDict(extra="forbid")

    action: Annotated[Text | None, Field(description="Exactly this action.", examples=["api_key.revoked"])] = None
    actor: Annotated[Text | None, Field(description="The id of who did it.")] = None
    target: Annotated[Text | None, Field(description="The id of what it was done to.")] = None
    from_: Annotated[Moment | None, Field(alias="from", description="At this time or later.")] = None
    to: Annotated[Moment | None, Field(description="Before this time.")] = None
    q: Annotated[
        Text | None,
        Field(description="Part of the action, an id, the reason, the request id, the address or a change."),
    ] = None

    def chosen(self, *, chain_id: UUID, environment: str | None) -> Chosen:
        """Return the choice from a chain."""
        return Chosen(
            chain_id=chain_id,
            environment=environment,
            action=self.action,
            actor=self.actor,
            target=self.target,
            from_=self.from_,
            to=self.to,
            text=self.q,
        )


class AuditQuery(AuditFilters, PageQuery):
    """Which entries, and how many."""

    model_config = ConfigDict(extra="forbid")


class Party(BaseModel):
    """Who did it, or what it was done to."""

    kind: str
    id: str


class AuditEntryView(BaseModel):
    """One entry. ``hash`` covers the entry and ``previous_hash``: altering, removing or reordering entries shows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "aud_01h455vb4pex5vsknk084sn02q",
                    "at": "2026-01-01T12:00:00.000000Z",
                    "action": "access.denied",
                    "actor": {"kind": "api_key", "id": "key_01h455vb4pex5vsknk084sn02q"},
                    "target": {"kind": "api_key", "id": "key_01h455vb4pex5vsknk084sn02q"},
                    "outcome": "denied",
                    "reason": "address_not_allowed",
                    "request_id": "01h455vb4pex5vsknk084sn02q",
                    "ip": "192.0.2.7",
                    "changes": {"count": 3},
                    "previous_hash": "00" * 32,
                    "hash": "5f" * 32,
                }
            ]
        }
    )

    id: Annotated[UUID, TypeId("aud")]
    at: datetime
    action: str
    actor: Party
    target: Party
    outcome: Literal["allowed", "denied"]
    reason: str | None
    request_id: str | None
    ip: str | None
    changes: dict[str, Any]
    previous_hash: str
    hash: str


def view_of(entry: StoredEntry) -> AuditEntryView:
    """Return the wire form of an entry."""
    return AuditEntryView(
        id=entry.id,
        at=entry.at,
        action=entry.action,
        actor=Party(kind=entry.actor_kind, id=entry.actor_id),
        target=Party(kind=entry.target_kind, id=entry.target_id),
        outcome=entry.outcome,
        reason=entry.reason,
        request_id=entry.request_id,
        ip=str(entry.ip) if entry.ip else None,
        changes=orjson.loads(entry.changes),
        previous_hash=entry.previous_hash.hex(),
        hash=entry.hash.hex(),
    )
