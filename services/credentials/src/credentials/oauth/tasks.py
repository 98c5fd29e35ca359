"""The job that keeps signing keys young and forgets revoked tokens that have ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

from arq.cron import CronJob, cron

from credentials.oauth import revoked_tokens_repository
from credentials.oauth.signing_keys import rotate_if_older_than
from shared.database import Database
from shared.sealing import SealingKeyring

SIGNING_KEY_AGE_MAX = timedelta(days=30)


async def keep_oauth(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Rotate the signing key when it is old enough, and remove what is over."""
    database: Database = ctx["resources"].database
    sealing: SealingKeyring = ctx["resources"].sealing
    now = datetime.now(UTC)
    async with database.transaction() as session:
        await rotate_if_older_than(session, age=SIGNING_KEY_AGE_MAX, sealing=sealing, now=now)
        await revoked_tokens_repository.forget_ended(session, now=now)


def hourly() -> CronJob:
    """Return the job's schedule; of several workers one runs it."""
    return cron(keep_oauth, minute=41)
