"""What Causeway reports of webhooks, as events of the webhook's own realm: failing, recovered, disabled.

They are accepted in the transaction of the change they report, so neither is there without the other. None is ever owed to the
webhook it is about; and what their attempts say opens no breaker (``lanes/breaker.py``): so reports make no further reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.events import repository
from webhook_dispatcher.events.event import Event, make_payload, rfc3339
from webhook_dispatcher.events.fan_out import plan
from webhook_dispatcher.events.service import RealmKeepsChangingError

FUNCTION: Final = "webhook"
_PLANS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The webhook that is reported on."""

    webhook_id: UUID
    name: str
    realm: Realm


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something that happened to a webhook. ``data`` is what the event says beside the webhook's id and name."""

    about: Subject
    kind: Literal["failing", "recovered", "disabled"]
    at: datetime
    data: Mapping[str, Any]


def failing(
    about: Subject,
    *,
    at: datetime,
    failing_since: datetime,
    failures: int,
    last_status: int | None,
    last_error: str | None,
) -> Report:
    """Return the report of a breaker that has opened."""
    data = {
        "failing_since": rfc3339(failing_since),
        "consecutive_failures": failures,
        "last_status": last_status,
        "last_error": last_error,
    }
    return Report(about=about, kind="failing", at=at, data=data)


def recovered(about: Subject, *, at: datetime, waiting: int) -> Report:
    """Return the report of a breaker that has closed; ``waiting``: how many deliveries it held, as far as they were counted."""
    return Report(about=about, kind="recovered", at=at, data={"recovered_at": rfc3339(at), "waiting": waiting})


def disabled(about: Subject, *, at: datetime, reason: Literal["requested", "gone", "failing"]) -> Report:
    """Return the report of a webhook that was disabled."""
    return Report(about=about, kind="disabled", at=at, data={"disabled_at": rfc3339(at), "reason": reason})


async def publish(session: AsyncSession, reports: Sequence[Report]) -> Sequence[UUID]:
    """Accept reports as events within the transaction; returns the webhooks that have work once it is committed.

    Raises RealmKeepsChangingError, to try again.
    """
    if not reports:
        return ()
    events = [_event(report) for report in reports]
    abouts = {event.id: report.about.webhook_id for event, report in zip(events, reports, strict=True)}
    connection = await session.connection()
    for _ in range(_PLANS_MAX):
        # Read here and not remembered: this transaction may have changed webhooks itself, and may yet be rolled back.
        webhooks = {
            realm: await repository.load_realm(connection, realm) for realm in {event.realm for event in events}
        }
        done = await repository.accept(
            connection,
            events=events,
            candidates=[
                candidate
                for event in events
                for candidate in plan(event, webhooks[event.realm])
                if candidate.webhook_id != abouts[event.id]
            ],
            revisions={realm: known.revision for realm, known in webhooks.items()},
        )
        if done is not None:
            return done.webhooks
    raise RealmKeepsChangingError


def _event(report: Report) -> Event:
    row_id = typeids.new_id()
    event_id = typeids.encode("evt", row_id)
    about = typeids.encode("wh", report.about.webhook_id)
    event_type = f"{FUNCTION}.{report.kind}"
    data = orjson.dumps({"webhook_id": about, "name": report.about.name, **report.data})
    return Event(
        id=row_id,
        realm=report.about.realm,
        event_id=event_id,
        type=event_type,
        function=FUNCTION,
        subject=about,
        ordering_key=about,
        occurred_at=report.at,
        payload=make_payload(event_id=event_id, event_type=event_type, occurred_at=report.at, subject=about, data=data),
    )
