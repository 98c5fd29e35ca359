"""Reads balances from wallets: through the wallet's gate, one fetch at a time, with a short memory of what was read."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from shared.ewp.messages import PAGE_ITEMS_MAX, WalletBalance
from wallet_gateway.balances.balance import BalanceKey, BalancesRead, Snapshot
from wallet_gateway.balances.cache import BalanceCache
from wallet_gateway.balances.flights import Flights
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.availability import broken_seconds
from wallet_gateway.external_wallets.repository import StoredWallet
from wallet_gateway.isolation.calls import isolated_read
from wallet_gateway.isolation.errors import BreakerOpen, NotAdmitted
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import ReadFailed

BALANCES_MAX: Final = PAGE_ITEMS_MAX
"""Balances of one client at one wallet that are shown."""
PAGES_MAX: Final = 10
STALE_SECONDS_MAX: Final = 3600.0
"""An older snapshot is not shown any more, also when there is nothing newer."""

TIMED_OUT: Final = "timeout"


class BalanceReader:
    """The balances of one process."""

    def __init__(
        self, wallets: WalletAccess, *, cache: BalanceCache, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wallets = wallets
        self._cache = cache
        self._flights: Flights[BalanceKey, Snapshot] = Flights()
        self._clock = clock

    async def read(
        self, stored: StoredWallet, *, owner_ref: str, currency: str | None, deadline_seconds: float
    ) -> BalancesRead:
        """Return what is known of a client's balances at a wallet within the deadline; never raises for the wallet's faults.

        The snapshot is live, or remembered and young enough for the wallet's setting, or, when the wallet brings nothing,
        remembered and older: then ``fault`` says so.
        """
        wallet = stored.wallet
        key = BalanceKey(wallet_id=wallet.id, base_url=wallet.base_url, owner_ref=owner_ref, currency=currency)
        remembers = wallet.balance_cache_seconds > 0
        remembered = self._remembered(key) if remembers else None
        if remembered is not None and self._age_seconds(remembered) <= wallet.balance_cache_seconds:
            return self._shown(remembered, source="cache")
        try:
            self._refuse_if_broken(stored)
            async with asyncio.timeout(deadline_seconds):
                snapshot = await self._flights.run(key, lambda: self._fetch(stored, key), join=remembers)
        except TimeoutError:
            fault = TIMED_OUT
        except (ReadFailed, NotAdmitted) as failed:
            fault = failed.code
        else:
            return self._shown(snapshot, source="live")
        return self._shown(remembered, source="cache", fault=fault)

    async def aclose(self) -> None:
        """End the fetches that are under way."""
        await self._flights.aclose()

    def _remembered(self, key: BalanceKey) -> Snapshot | None:
        snapshot = self._cache.get(key)
        if snapshot is not None and self._age_seconds(snapshot) > STALE_SECONDS_MAX:
            self._cache.drop(key)
            return None
        return snapshot

    def _age_seconds(self, snapshot: Snapshot) -> float:
        return self._clock() - snapshot.fetched_at_seconds

    def _shown(self, snapshot: Snapshot | None, *, source: str, fault: str | None = None) -> BalancesRead:
        age_seconds = 0.0 if snapshot is None else self._age_seconds(snapshot)
        return BalancesRead(
            snapshot=snapshot,
            source="live" if source == "live" else "cache",
            age_ms=round(age_seconds * 1000),
            fault=fault or (None if snapshot is None or snapshot.complete else "more_balances"),
        )

    def _refuse_if_broken(self, stored: StoredWallet) -> None:
        """Raise BreakerOpen where another process found out that this wallet does not answer."""
        seconds = broken_seconds(stored.wallet, now=datetime.now(UTC))
        if seconds > 0:
            raise BreakerOpen(retry_after_seconds=seconds)

    async def _fetch(self, stored: StoredWallet, key: BalanceKey) -> Snapshot:
        """Read all pages, up to the limits; raises ReadFailed or NotAdmitted."""
        endpoint = self._wallets.endpoints.open(stored)
        balances: list[WalletBalance] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._page(endpoint, key, cursor, tenant_id=stored.wallet.tenant_id)
            balances += page[0]
            cursor = page[1]
            if cursor is None or len(balances) >= BALANCES_MAX:
                break
        snapshot = Snapshot(
            balances=tuple(balances[:BALANCES_MAX]),
            complete=cursor is None and len(balances) <= BALANCES_MAX,
            fetched_at=datetime.now(UTC),
            fetched_at_seconds=self._clock(),
        )
        if stored.wallet.balance_cache_seconds > 0:
            self._cache.put(key, snapshot)
        return snapshot

    async def _page(
        self, endpoint: Endpoint, key: BalanceKey, cursor: str | None, *, tenant_id: UUID
    ) -> tuple[list[WalletBalance], str | None]:
        read = await isolated_read(
            self._wallets.isolation,
            key.wallet_id,
            lambda: self._wallets.client.query_balances(
                endpoint, owner_refs=[key.owner_ref], currency=key.currency, cursor=cursor, limit=BALANCES_MAX
            ),
            tenant_id=tenant_id,
            wait_seconds=endpoint.timeout_seconds,
        )
        return read.value.data, read.value.next_cursor
