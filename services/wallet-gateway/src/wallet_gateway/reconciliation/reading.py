"""Reads a wallet's feed on from where it was read last, for one turn, and keeps what is new."""

from collections.abc import Callable
from typing import Final

from shared.database import Database
from shared.ewp.messages import FeedPage
from wallet_gateway.external_wallets import repository as wallets_repository
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.same_system import canonical
from wallet_gateway.isolation.calls import isolated_read
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.reconciliation import feed, feed_repository, runs_repository
from wallet_gateway.reconciliation.feed import Beyond, Fresh, Gap, Position, Regressed
from wallet_gateway.reconciliation.models import Run
from wallet_gateway.reconciliation.progress import Waits

PAGES_A_TURN: Final = 50
WAIT_SECONDS_MAX: Final = 5.0
"""For a place in the wallet's gate: a run that finds none goes to the back of the line."""


class FeedReader:
    """One per reconciler."""

    def __init__(self, *, database: Database, wallets: WalletAccess, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._database = database
        self._wallets = wallets

    async def read(self, run: Run, endpoint: Endpoint, *, until: float) -> bool | Regressed | Beyond:
        """Read pages; True at the end of the feed, False where this turn is over.

        ``until``, by the clock, no page is begun any more, save the first. Raises Waits, ReadFailed or NotAdmitted.
        """
        async with self._database.transaction() as session:
            position = await feed_repository.position_of(session, wallet_id=run.wallet_id)
            strangers = await feed_repository.strangers_of(session, wallet_id=run.wallet_id)
        entries_read = run.entries_read
        for _ in range(PAGES_A_TURN):
            beyond = feed.limit_reached(entries_read=entries_read, strangers=strangers)
            if beyond is not None:
                return beyond
            page = await self._page(run, endpoint, position)
            judged = feed.judge(page, position)
            if isinstance(judged, Gap):
                raise Waits("feed_gap")
            if isinstance(judged, Regressed):
                return judged
            entries_read, strangers = await self._store(run, position, judged, read_from=endpoint)
            if judged.is_last:
                return True
            position = judged.position
            if self._clock() >= until:
                break
        return False

    async def _page(self, run: Run, endpoint: Endpoint, position: Position) -> FeedPage:
        read = await isolated_read(
            self._wallets.isolation,
            run.wallet_id,
            lambda: self._wallets.client.feed(endpoint, after_seq=position.after_seq, limit=feed.PAGE_ENTRIES),
            tenant_id=run.tenant_id,
            wait_seconds=min(endpoint.timeout_seconds, WAIT_SECONDS_MAX),
        )
        return read.value

    async def _store(self, run: Run, before: Position, fresh: Fresh, *, read_from: Endpoint) -> tuple[int, int]:
        """Keep what is new; returns how many entries the run has read, and how many orders are kept that we never gave."""
        async with self._database.transaction() as session:
            wallet = await wallets_repository.find(session, realm=run.realm, wallet=run.wallet_id, lock="NO KEY UPDATE")
            refuse_if_moved(wallet, read_from)
            strangers = await feed_repository.store(
                session, wallet_id=run.wallet_id, before=before, reached=fresh.position, entries=fresh.entries
            )
            if strangers is None:
                raise Waits("another_run_reads")
            return await runs_repository.count_entries(session, run, len(fresh.entries)), strangers


def refuse_if_moved(wallet: Wallet | None, read_from: Endpoint) -> None:
    """Raise Waits where the wallet has got another address while it was read: what it said is another server's."""
    if wallet is not None and (canonical(wallet.base_url), wallet.protocol) != (
        canonical(read_from.base_url),
        read_from.protocol,
    ):
        raise Waits("wallet_moved")
