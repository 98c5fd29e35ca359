"""Denials of known credentials, for their owners: the caller gets one uniform answer, the owner's log has the exact reason.

A verification writes nothing: denials are counted in memory, by credential, reason and scope, and written a moment later, in
the owner's chain. A flood costs its owner one entry a minute: the first denial is written at the next flush, what follows
within ``WINDOW_SECONDS`` becomes one entry that says how many there were. Of unknown credentials nobody's log can tell.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import PLATFORM_CHAIN, Actor, Target, record
from shared.access import Address, Principal
from shared.database import Database

FLUSH_SECONDS = 1.0
WINDOW_SECONDS = 60.0
PLACES_MAX = 10_000
ACTION = "access.denied"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedCredential:
    """Whose denial it is: a known credential, and the tenant whose log tells of it (None: the platform's)."""

    id: str
    kind: str
    tenant_id: UUID | None
    environment: str

    @classmethod
    def of(cls, principal: Principal) -> "DeniedCredential":
        """Return the credential of a caller who was let in, and then refused something."""
        return cls(
            id=principal.credential_id,
            kind="security_token" if principal.kind == "security_token" else "api_key",
            tenant_id=principal.tenant_id,
            environment=principal.environment,
        )

    @property
    def chain_id(self) -> UUID:
        """Return the log it belongs to."""
        return self.tenant_id or PLATFORM_CHAIN


@dataclass(frozen=True, slots=True)
class _Place:
    credential: DeniedCredential
    reason: str
    scope: str | None


@dataclass(slots=True)
class _Denied:
    """Denials that are not written yet: how many, when, and through which request the first came."""

    count: int
    first_at: float
    last_at: float
    request_id: str | None
    ip: Address | None


@dataclass(slots=True)
class _Window:
    quiet_until: float = float("-inf")
    denied: _Denied | None = field(default=None)


class Denials:
    """Collects denials of this process, and writes them."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._windows: dict[_Place, _Window] = {}
        self._flushing = asyncio.Lock()
        self._left_out = 0

    def note(self, credential: DeniedCredential, *, reason: str, ip: Address | None, scope: str | None = None) -> None:
        """Remember a denial; costs no I/O. Of more than ``PLACES_MAX`` in one minute only the number is logged."""
        place = _Place(credential, reason, scope)
        window = self._windows.get(place)
        if window is None:
            if len(self._windows) >= PLACES_MAX:
                self._left_out += 1
                return
            window = self._windows[place] = _Window()
        now = time.time()
        if window.denied is None:
            request_id = structlog.contextvars.get_contextvars().get("request_id")
            window.denied = _Denied(1, now, now, request_id, ip)
        else:
            window.denied.count += 1
            window.denied.last_at = now

    async def run(self) -> None:
        """Write every ``FLUSH_SECONDS`` until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self, *, chain_id: UUID | None = None, at_once: bool = False) -> None:
        """Write what is due, of one chain or all; ``at_once`` also what would wait for its minute to end.

        What cannot be written now stays for the next time.
        """
        async with self._flushing:
            for chain, places in self._due(chain_id, at_once=at_once).items():
                await self._write_chain(chain, places)
            self._forget_quiet()

    def _due(self, chain_id: UUID | None, *, at_once: bool) -> Mapping[UUID, Sequence[_Place]]:
        now = self._clock()
        due: dict[UUID, list[_Place]] = {}
        for place, window in self._windows.items():
            if window.denied is None or (now < window.quiet_until and not at_once):
                continue
            if chain_id in {None, place.credential.chain_id}:
                due.setdefault(place.credential.chain_id, []).append(place)
        return due

    async def _write_chain(self, chain_id: UUID, places: Sequence[_Place]) -> None:
        # Taken out first: what is denied meanwhile belongs to the next entry.
        taken = {place: self._windows[place].denied for place in places}
        for place in places:
            self._windows[place].denied = None
        try:
            async with self._database.transaction() as session:
                for place, denied in taken.items():
                    assert denied is not None
                    await _record(session, place, denied)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning(
                "audit.denials_not_written", reason=type(exc).__name__, chain_id=str(chain_id), places=len(places)
            )
            for place, denied in taken.items():
                assert denied is not None
                self._put_back(place, denied)
            return
        quiet_until = self._clock() + WINDOW_SECONDS
        for place in places:
            self._windows[place].quiet_until = quiet_until

    def _put_back(self, place: _Place, denied: _Denied) -> None:
        since = self._windows[place].denied
        if since is not None:
            denied.count += since.count
            denied.last_at = since.last_at
        self._windows[place].denied = denied

    def _forget_quiet(self) -> None:
        now = self._clock()
        over = [place for place, window in self._windows.items() if window.denied is None and now >= window.quiet_until]
        for place in over:
            del self._windows[place]
        if self._left_out:
            log.warning("audit.denials_left_out", count=self._left_out)
            self._left_out = 0


async def _record(session: AsyncSession, place: _Place, denied: _Denied) -> None:
    credential = place.credential
    first_at, last_at = (datetime.fromtimestamp(moment, tz=UTC) for moment in (denied.first_at, denied.last_at))
    changes: dict[str, object] = {"count": denied.count, "first_at": first_at, "last_at": last_at}
    await record(
        session,
        action=ACTION,
        actor=Actor(kind=credential.kind, id=credential.id, request_id=denied.request_id, ip=denied.ip),
        target=Target(
            kind=credential.kind, id=credential.id, tenant_id=credential.tenant_id, environment=credential.environment
        ),
        changes=changes | ({"scope": place.scope} if place.scope else {}),
        denied_because=place.reason,
        at=first_at,
    )
