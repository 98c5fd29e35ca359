"""Reports of leaked keys: taken in without looking, so that no answer tells anything, and dealt with right after.

Taking in is one insert, whatever the key; only then, in a transaction of its own, is it looked for. A report survives a crash
in between. What it ends is what leaked: the whole key where its current text leaked, otherwise that replaced version alone;
a text that has ended already harms nobody.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import repository as api_keys
from credentials.api_keys.service import end, target_of
from credentials.audit.service import Actor, record
from credentials.leaked_keys import repository
from credentials.leaked_keys.models import LeakedKeyReport
from credentials.revocations.feed import RevocationFeed
from credentials.security_tokens import service as security_tokens
from credentials.security_tokens.issuer import TokenIssuer
from credentials.verification.key_hashing import PepperRing
from shared import key_format, typeids
from shared.access import Address
from shared.database import Database
from shared.rate_limits import Allowance, RateLimiter

REPORTS_PER_MINUTE = 30
_ADDRESSES_MAX = 10_000
_IPV6_HOST_BYTES = 8

_RETRY_SECONDS = 1.0

REPORTER = "leak_report"
_BECAUSE = {"because": "reported as leaked"}

log = structlog.get_logger()


class LeakedKeys:
    """Takes in reports, and deals with them."""

    def __init__(
        self,
        database: Database,
        *,
        peppers: PepperRing,
        token_issuer: TokenIssuer,
        feed: RevocationFeed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._peppers = peppers
        self._token_issuer = token_issuer
        self._feed = feed
        self._limiter = RateLimiter(
            "leaked-keys", limit=REPORTS_PER_MINUTE, window_seconds=60, keys_max=_ADDRESSES_MAX, clock=clock
        )
        self._has_come = asyncio.Event()

    def count_report(self, ip: Address | None) -> Allowance:
        """Count a report against its address, and return what that has left."""
        # Of IPv6 a host has a whole /64.
        return self._limiter.take(None if ip is None else ip.packed[:_IPV6_HOST_BYTES])

    async def take_in(self, session: AsyncSession, text: SecretStr, *, ip: Address | None, request_id: str) -> None:
        """Store a report; it is dealt with once it is committed. A text that is no key is passed over: anybody can tell."""
        form = key_format.parse(text.get_secret_value())
        if form is None:
            return
        report = LeakedKeyReport(
            id=typeids.new_id(),
            kind=form.kind,
            hashes=self._peppers.candidates(text.get_secret_value()),
            ip=ip,
            request_id=request_id,
            reported_at=datetime.now(UTC),
        )
        await repository.add(session, report)
        event.listen(session.sync_session, "after_commit", lambda _session: self._has_come.set(), once=True)

    async def run(self) -> None:
        """Deal with reports as this process takes them in, until cancelled; while Postgres is away, keep trying.

        What another process took in and did not get to is left to the worker.
        """
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            try:
                await self.deal_with_all()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("leaked_keys.report_waits", reason=type(exc).__name__)
                self._has_come.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def deal_with_all(self) -> None:
        """Deal with whatever waits."""
        while await self.deal_with_one():
            pass

    async def deal_with_one(self) -> bool:
        """Deal with the oldest report; False when there is none."""
        async with self._database.transaction() as session:
            report = await repository.claim(session)
            if report is None:
                return False
            await repository.remove(session, report)
            actor = Actor(kind=REPORTER, id="anonymous", request_id=report.request_id, ip=report.ip)
            if report.kind == "security_token":
                await security_tokens.replace_leaked(
                    session,
                    hashes=report.hashes,
                    actor=actor,
                    issuer=self._token_issuer,
                    feed=self._feed,
                    now=datetime.now(UTC),
                )
            else:
                await self._end_leaked(session, report, actor=actor, now=datetime.now(UTC))
            return True

    async def _end_leaked(self, session: AsyncSession, report: LeakedKeyReport, *, actor: Actor, now: datetime) -> None:
        key = await api_keys.find_by_hashes(session, report.hashes)
        if key is None or key.status(now) != "active":
            return
        leaked = next(version for version in key.versions if version.secret_hash in report.hashes)
        if leaked.ends_at is None:
            await end(session, key, actor=actor, now=now, because=_BECAUSE)
        elif leaked.ends_at > now:
            leaked.ends_at = now
            changes = {**_BECAUSE, "ended": [leaked.number]}
            await record(session, action="api_key.version_ended", actor=actor, target=target_of(key), changes=changes)
        else:
            return
        await self._feed.announce(session, target_kind="credential", target_id=key.id, reason="api_key.leaked")
