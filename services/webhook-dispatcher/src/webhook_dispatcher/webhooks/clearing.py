"""Cancelling all that a webhook is owed, in steps: a million at once would be one long transaction that everybody waits for."""

from typing import Final
from uuid import UUID

from shared.access import Realm
from shared.database import Database
from shared.problems import NotFound
from webhook_dispatcher.deliveries import repository as deliveries
from webhook_dispatcher.webhooks import repository

STEP_MAX: Final = 20_000
"""Deliveries of one transaction: a fraction of a second."""


async def clear(database: Database, *, realm: Realm, webhook_id: UUID, only_disabled: bool) -> int:
    """Cancel what is pending or held until little is left, and return how many that were; raises NotFound.

    Each step is committed by itself. Whoever is interrupted has cancelled a part, and goes on by asking again. With
    ``only_disabled`` an enabled webhook keeps everything.
    """
    cancelled, step = 0, STEP_MAX
    while step == STEP_MAX:
        async with database.transaction() as session:
            webhook = await repository.find(session, realm=realm, webhook_id=webhook_id, for_update=True)
            if webhook is None:
                raise NotFound
            if only_disabled and webhook.status == "enabled":
                return cancelled
            step = await deliveries.cancel_pending_of(session, webhook_id=webhook_id, limit=STEP_MAX)
        cancelled += step
    return cancelled
