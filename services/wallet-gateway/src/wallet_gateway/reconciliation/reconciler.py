"""The worker's part of reconciliation: takes runs that are due, reads feeds, compares, and writes down what differs.

A run: the feed from where it was read last → ``feed.judge`` → our orders of the time and what only the wallet knows →
``comparison`` → breaks, with their events, → clean or breaks. No transaction is open while a wallet is asked.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.audit_entries import repository as audit_entries
from shared.database import Database
from shared.problems import NotFound
from wallet_gateway.external_wallets import repository as wallets_repository
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.discovery import Discovery
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import ReadFailed
from wallet_gateway.reconciliation import feed_repository, runs_repository
from wallet_gateway.reconciliation.comparison import Break, compare, unknown
from wallet_gateway.reconciliation.feed import Beyond, Regressed
from wallet_gateway.reconciliation.models import Run
from wallet_gateway.reconciliation.progress import Compared, Waits
from wallet_gateway.reconciliation.reading import FeedReader, refuse_if_moved
from wallet_gateway.reconciliation.turns import Turns

log = structlog.get_logger()

FEED_REGRESSED: Final = "feed_regressed"
FEED_UNREADABLE: Final = "feed_unreadable"
_SLOTS: Final = 4
TURN_SECONDS: Final = 30.0
"""After it no further page of a feed is begun: a wallet that is slow with each holds a slot no longer than for one page more."""
LEASE_SECONDS: Final = 180.0
"""Longer than a turn can last with a wallet that takes all its time for everything it is asked; longer ones of ours renew it."""
_LOOK_SECONDS: Final = 1.0
_BATCH: Final = 500
_BREAKS_MAX: Final = 1000
_BACKOFF_SECONDS: Final = (2, 5, 10, 30, 60, 300)
_KEPT_DAYS: Final = 7
_GIVES_UP: Final = timedelta(hours=6)
"""A run that has not got to its end by then ends with a break that says why: nothing was compared meanwhile."""
_SLACK: Final = timedelta(seconds=5)
"""A step's beginning is told by its worker's clock, all else by Postgres's: so far a run looks back beyond the one before."""


class Reconciler:
    """One per worker. ``run`` until cancelled."""

    def __init__(
        self,
        *,
        database: Database,
        wallets: WalletAccess,
        discovery: Discovery,
        interval_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``interval_seconds``: between two scheduled runs of a wallet; 0 schedules none."""
        self._clock = clock
        self._reader = FeedReader(database=database, wallets=wallets, clock=clock)
        self._taking = asyncio.Lock()
        self._turns = Turns(each_max=_SLOTS // 2)
        self._database = database
        self._wallets = wallets
        self._discovery = discovery
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Schedule, and work off what is due, a few wallets at a time, so that one that is slow holds up no other."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_scheduling())
            for _ in range(_SLOTS):
                group.create_task(self._keep_working())

    async def schedule(self) -> int:
        """Begin the runs whose time has come; returns how many."""
        if not self._interval_seconds:
            return 0
        async with self._database.transaction() as session:
            await runs_repository.forget_old(session, days=_KEPT_DAYS)
        async with self._database.autocommit() as connection:
            return await runs_repository.schedule(connection)

    async def work_once(self) -> bool:
        """Take one run that is due and carry it on; False where none is."""
        run = await self._take()
        if run is None:
            return False
        with self._turns.ending(run.tenant_id):
            await self._take_turn(run)
        return True

    async def _take(self) -> Run | None:
        async with self._taking:
            async with self._database.autocommit() as connection:
                run = await runs_repository.take(
                    connection, lease_seconds=LEASE_SECONDS, busy=self._turns.busy, served=self._turns.served
                )
            if run is not None:
                self._turns.begin(run.tenant_id)
        return run

    async def _take_turn(self, run: Run) -> None:
        """Carry a run on for one turn; one that has not got to its end goes to the back of the line."""
        until = self._clock() + TURN_SECONDS
        waits_for, seconds = None, 0.0
        try:
            if await self._carry_on(run, until=until):
                return
        except (Waits, ReadFailed, NotAdmitted) as failed:
            waits_for = failed.code
            seconds = _BACKOFF_SECONDS[min(run.attempts, len(_BACKOFF_SECONDS)) - 1]
            log.info("reconciliation.waits", reconciliation_id=typeids.encode("rec", run.id), code=waits_for)
            if _is_overdue(run):
                await self._give_up(run, waits_for)
                return
        async with self._database.autocommit() as connection:
            await runs_repository.put_off(connection, run, seconds=seconds, waits_for=waits_for)

    async def _keep_scheduling(self) -> None:
        while True:
            try:
                await self.schedule()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("reconciliation.not_scheduled", reason=type(exc).__name__)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep_working(self) -> None:
        while True:
            try:
                worked = await self.work_once()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("reconciliation.interrupted", reason=type(exc).__name__)
                worked = False
            except Exception:
                # Our own fault with one run: its lease ends, and it is tried again; the others go on.
                log.exception("reconciliation.failed_by_us")
                worked = False
            if not worked:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _carry_on(self, run: Run, *, until: float) -> bool:
        """Read on until then and compare; True where the run is finished, False where there is more to read.

        Raises Waits, ReadFailed or NotAdmitted.
        """
        async with self._database.transaction() as session:
            read_at, oldest_open = await runs_repository.beginning(session, wallet_id=run.wallet_id)
            try:
                stored = await wallets_repository.load_endpoint(session, realm=run.realm, wallet=run.wallet_id)
            except NotFound:
                stored = None
        if stored is None or not (await self._discovery.capabilities(stored)).feed:
            # Nothing was compared, and that must not look like books that agree.
            return await self._without_feed(run, "wallet_deleted" if stored is None else "feed_not_offered")
        endpoint = self._wallets.endpoints.open(stored)
        outcome = await self._reader.read(run, endpoint, until=until)
        if isinstance(outcome, Regressed):
            await self._freeze(run, outcome, read_from=endpoint)
            return True
        if isinstance(outcome, Beyond):
            await self._give_up(run, outcome.code)
            return True
        if not outcome:
            if not _is_overdue(run):
                return False
            await self._give_up(run, "feed_too_long")
            return True
        compared = await self._compare_ours(run, read_at=read_at)
        await self._find_unknown(run)
        # What had not ended is looked at again: the next run looks back to the oldest of it.
        open_since = [since for since in (oldest_open, compared.late_since) if since is not None]
        await self._finish(run, compared, checked_to=min([run.to_at, *open_since]) - _SLACK, at_end=True)
        return True

    async def _without_feed(self, run: Run, code: str) -> bool:
        """End a run that has nothing to read: as none at all where nobody asked for it; raises Waits where somebody did.

        A wallet that has a feed no more is a break.
        """
        if not run.is_scheduled:
            raise Waits(code)
        async with self._database.transaction() as session:
            position = await feed_repository.position_of(session, wallet_id=run.wallet_id)
            if code == "wallet_deleted" or not position.seq:
                await runs_repository.drop(session, run)
                return True
        await self._give_up(run, code)
        return True

    async def _give_up(self, run: Run, code: str) -> None:
        """End a run with a break: nothing was compared since then. One break, and event, however many runs find it."""
        ours = {"not_compared_since": run.from_at.astimezone(UTC).isoformat()}
        async with self._database.transaction() as session:
            found = Break(kind=FEED_UNREADABLE, ours=ours, theirs={"code": code})
            await runs_repository.note_break(session, run, found, now=datetime.now(UTC))
        log.error("reconciliation.given_up", reconciliation_id=typeids.encode("rec", run.id), code=code)
        await self._finish(run, Compared(), checked_to=run.from_at)

    async def _compare_ours(self, run: Run, *, read_at: datetime) -> Compared:
        """Compare our orders of the run's time that had ended before the feed was read."""
        compared, after = Compared(), None
        while True:
            async with self._database.transaction() as session:
                await runs_repository.renew(session, run, lease_seconds=LEASE_SECONDS)
                ids = await feed_repository.transfers_begun(
                    session, wallet_id=run.wallet_id, from_at=run.from_at, to_at=run.to_at, after=after, limit=_BATCH
                )
                orders = await feed_repository.our_orders(session, wallet_id=run.wallet_id, transfer_ids=ids)
                orders = [order for order in orders if compared.takes(order, read_at=read_at)]
                theirs = await feed_repository.their_orders(
                    session, wallet_id=run.wallet_id, step_ids=[order.step_id for order in orders]
                )
                for found in (compare(order, theirs.get(order.step_id)) for order in orders):
                    if found is not None:
                        await runs_repository.note_break(session, run, found, now=read_at)
            if len(ids) < _BATCH:
                return compared
            after = ids[-1]

    async def _find_unknown(self, run: Run) -> None:
        """Note what only the wallet knows. What was in its feed before we first looked is a break only if somebody asks."""
        async with self._database.transaction() as session:
            position = await feed_repository.position_of(session, wallet_id=run.wallet_id)
        after_seq = (
            (position.seq if position.baseline_seq is None else position.baseline_seq) if run.is_scheduled else 0
        )
        after: str | None = ""
        found = 0
        while after is not None and found < _BREAKS_MAX:
            async with self._database.transaction() as session:
                await runs_repository.renew(session, run, lease_seconds=LEASE_SECONDS)
                orders, after = await feed_repository.unknown_orders(
                    session,
                    wallet_id=run.wallet_id,
                    from_at=run.from_at,
                    after_seq=after_seq,
                    after=after,
                    limit=_BATCH,
                )
                for order in orders:
                    await runs_repository.note_break(session, run, unknown(order), now=datetime.now(UTC))
            found += len(orders)

    async def _freeze(self, run: Run, regressed: Regressed, *, read_from: Endpoint) -> None:
        """Note the break, and freeze the wallet for transfers until a person has looked."""
        async with self._database.transaction() as session:
            wallet = await wallets_repository.find(session, realm=run.realm, wallet=run.wallet_id, lock="NO KEY UPDATE")
            refuse_if_moved(wallet, read_from)
            position = await feed_repository.position_of(session, wallet_id=run.wallet_id)
            frozen_at = wallet.frozen_at if wallet is not None and wallet.frozen_at else datetime.now(UTC)
            ours = {"seq": position.seq, "step_id": position.step_id, "state": position.state}
            # The same step back, after a freeze that was lifted, is found anew: each freeze has a break of its own.
            ours["frozen_at"] = frozen_at.astimezone(UTC).isoformat()
            found = Break(kind=FEED_REGRESSED, ours=ours, theirs=regressed.theirs)
            await runs_repository.note_break(session, run, found, now=datetime.now(UTC))
            if wallet is not None and not wallet.frozen:
                frozen = {"frozen": True, "frozen_reason": FEED_REGRESSED, "frozen_at": frozen_at}
                await wallets_repository.update(session, wallet, frozen)
                await audit_entries.record_own(
                    session,
                    realm=run.realm,
                    actor="wallet-gateway",
                    action="wallet.frozen",
                    target=typeids.encode("ew", wallet.id),
                    changes={"frozen_reason": FEED_REGRESSED, "ours": ours, "theirs": regressed.theirs},
                )
        log.error("wallet.frozen", wallet_id=typeids.encode("ew", run.wallet_id), reason=FEED_REGRESSED)
        await self._finish(run, Compared(), checked_to=run.from_at)

    async def _finish(self, run: Run, compared: Compared, *, checked_to: datetime, at_end: bool = False) -> None:
        async with self._database.transaction() as session:
            await runs_repository.finish(
                session,
                run,
                steps_compared=compared.count,
                checked_to=checked_to,
                at_end=at_end,
                next_seconds=float(self._interval_seconds),
            )


def _is_overdue(run: Run) -> bool:
    return datetime.now(UTC) - run.created_at >= _GIVES_UP
