"""Rules of recoveries: what may be asked for, and what a worker does with it step by step."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.problems import NotFound, ValidationFailed
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.recoveries import repository
from webhook_dispatcher.recoveries.errors import RecoveryEnded, RecoveryLimitReached
from webhook_dispatcher.recoveries.repository import Matches, Recovery, Selection
from webhook_dispatcher.recoveries.schemas import RecoverIn
from webhook_dispatcher.webhooks import repository as webhooks
from webhook_dispatcher.webhooks.errors import WebhookDisabled

ACTIVE_MAX = 10
"""Recoveries of a webhook that wait or run at once."""
COUNTED_MAX = 100_000
"""How many ended deliveries are looked at to count what matches, so that asking costs little."""


def selection_of(wanted: RecoverIn, webhook_id: UUID, *, now: datetime) -> Selection:
    """Return what a request is about; raises ValidationFailed for a span of no time."""
    until = wanted.to or now
    if until <= wanted.from_:
        raise ValidationFailed(errors=[{"pointer": "/from", "detail": "earlier than `to`, and not in the future"}])
    return Selection(
        webhook_id=webhook_id,
        since=wanted.from_,
        until=until,
        statuses=wanted.status,
        event_types=wanted.event_types,
    )


async def preview(session: AsyncSession, realm: Realm, selection: Selection) -> Matches:
    """Count what would be sent again; raises NotFound."""
    if await webhooks.find(session, realm=realm, webhook_id=selection.webhook_id) is None:
        raise NotFound
    return await repository.count_matches(session, selection=selection, scan_max=COUNTED_MAX)


async def start(session: AsyncSession, caller: Caller, selection: Selection) -> Recovery:
    """Ask for a recovery; a worker takes it up. Raises NotFound, WebhookDisabled, RecoveryLimitReached."""
    webhook = await webhooks.find(session, realm=caller.realm, webhook_id=selection.webhook_id, for_update=True)
    if webhook is None:
        raise NotFound
    if webhook.status == "disabled":
        raise WebhookDisabled
    if await repository.count_active(session, webhook_id=webhook.id) >= ACTIVE_MAX:
        raise RecoveryLimitReached
    matches = await repository.count_matches(session, selection=selection, scan_max=COUNTED_MAX)
    recovery = await repository.insert(
        session,
        recovery_id=typeids.new_id(),
        realm=caller.realm,
        selection=selection,
        matches=matches,
        created_by=caller.actor,
    )
    changes = {
        "webhook_id": typeids.encode("wh", webhook.id),
        "from": selection.since.isoformat(),
        "to": selection.until.isoformat(),
        "status": list(selection.statuses),
        "event_types": None if selection.event_types is None else list(selection.event_types),
        "matched": matches.sendable,
    }
    await audit.record(session, caller, action="recovery.started", target=_target(recovery), changes=changes)
    return recovery


async def get(session: AsyncSession, realm: Realm, recovery_id: UUID) -> Recovery:
    """Return a recovery; raises NotFound."""
    recovery = await repository.find(session, realm=realm, recovery_id=recovery_id)
    if recovery is None:
        raise NotFound
    return recovery


async def cancel(session: AsyncSession, caller: Caller, recovery_id: UUID) -> Recovery:
    """Send nothing more; what was made pending stays so. Cancelling twice is once. Raises NotFound, RecoveryEnded.

    A step that runs just now ends first: once this has returned no delivery is taken back any more.
    """
    recovery = await repository.find(session, realm=caller.realm, recovery_id=recovery_id, for_update=True)
    if recovery is None:
        raise NotFound
    if recovery.status == "completed":
        raise RecoveryEnded
    if recovery.status == "cancelled":
        return recovery
    cancelled = await repository.finish(session, recovery, status="cancelled", reason="by_request")
    changes = {"resent": cancelled.resent, "skipped": cancelled.skipped}
    await audit.record(session, caller, action="recovery.cancelled", target=_target(recovery), changes=changes)
    return cancelled


def _target(recovery: Recovery) -> str:
    return typeids.encode("rec", recovery.id)
