"""Asks wallets what they can do, keeps the answer, and tests connections. Outside any transaction while a wallet is asked."""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller
from shared.audit_entries import repository as audit_entries
from shared.database import Database
from shared.ewp.messages import BalancePage, WellKnown
from wallet_gateway.external_wallets import repository, same_system_repository
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.connection_checks import Observed, judge
from wallet_gateway.external_wallets.errors import WalletUnavailable
from wallet_gateway.external_wallets.repository import StoredWallet, Wallet, WalletRef
from wallet_gateway.external_wallets.schemas import ConnectionTestOut
from wallet_gateway.isolation.calls import isolated_read
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey
from wallet_gateway.protocols.results import Read, ReadFailed

PROBE_OWNER: Final = "causeway-connection-test"
"""An owner that no wallet needs to know; the page of its balances is empty."""
_WAIT_SECONDS: Final = 1.0
_CRM_V1: Final = WellKnown(versions=["crm-v1"], currencies=[], holds=False, retention_days=0, feed=False)


CAPABILITIES_KEPT: Final = timedelta(hours=6)
"""So long nobody asks a wallet again what it can do, unless it refuses what it said it could."""


def are_old(wallet: Wallet, *, now: datetime) -> bool:
    """Tell whether a wallet should be asked what it can do before a transfer begins: again, or for the first time."""
    if wallet.protocol != "ewp/1":
        return False
    if wallet.capabilities is None:
        return True
    return wallet.capabilities_at is not None and wallet.capabilities_at + CAPABILITIES_KEPT < now


class Discovery:
    """Capabilities of wallets."""

    def __init__(self, *, database: Database, wallets: WalletAccess) -> None:
        self._database = database
        self._wallets = wallets

    async def capabilities(self, stored: StoredWallet) -> WellKnown:
        """Return what a wallet can do, asking it when that is not known yet, or old; raises ReadFailed or NotAdmitted.

        What is old stands while the wallet does not answer, or says what cannot be read. ``crm-v1`` does not tell; what its
        interface has not, its wallets cannot do.
        """
        if stored.wallet.protocol == "crm-v1":
            return _CRM_V1
        if not are_old(stored.wallet, now=datetime.now(UTC)):
            return WellKnown.model_validate(stored.wallet.capabilities)
        try:
            return await self.refresh(stored)
        except (ReadFailed, NotAdmitted):
            if stored.wallet.capabilities is None:
                raise
            return WellKnown.model_validate(stored.wallet.capabilities)

    async def refresh(self, stored: StoredWallet) -> WellKnown:
        """Ask a wallet what it can do, and keep it; raises ReadFailed or NotAdmitted."""
        endpoint = self._wallets.endpoints.open(stored)
        read = await isolated_read(
            self._wallets.isolation,
            stored.wallet.id,
            lambda: self._wallets.client.well_known(endpoint),
            tenant_id=stored.wallet.tenant_id,
            wait_seconds=endpoint.timeout_seconds,
        )
        async with self._database.transaction() as session:
            kept = await keep_capabilities(session, stored.wallet, read.value)
            if kept is not None and kept.capabilities != stored.wallet.capabilities:
                target = typeids.encode("ew", kept.id)
                changes = {"capabilities": kept.capabilities}
                await audit_entries.record_own(
                    session,
                    realm=kept.realm,
                    actor="wallet-gateway",
                    action="wallet.capabilities_read",
                    target=target,
                    changes=changes,
                )
        return read.value


class ConnectionTests:
    """An operator's test of one wallet; goes past an open breaker, on the slow lane."""

    def __init__(self, *, database: Database, wallets: WalletAccess, review_after: timedelta) -> None:
        self._database = database
        self._review_after = review_after
        self._wallets = wallets

    async def run(self, caller: Caller, wallet: WalletRef) -> ConnectionTestOut:
        """Make the calls, judge them, keep the capabilities, audit; raises NotFound, WalletUnavailable for too many tests."""
        async with self._database.transaction() as session:
            stored = await repository.load_endpoint(session, realm=caller.realm, wallet=wallet)
        observed = await self._observe(stored)
        found = observed.well_known.value if isinstance(observed.well_known, Read) else None
        async with self._database.transaction() as session:
            if found is not None:
                await keep_capabilities(session, stored.wallet, found)
            twin = await _name_of_twin(session, stored.wallet, found)
            checks = judge(observed, twin=twin)
            await audit_entries.record(
                session,
                caller,
                action="wallet.connection_tested",
                target=typeids.encode("ew", stored.wallet.id),
                changes={check.name: check.code or check.status for check in checks},
            )
        return ConnectionTestOut(
            ok=all(check.status != "failed" for check in checks), checks=checks, capabilities=found
        )

    async def _observe(self, stored: StoredWallet) -> Observed:
        endpoint = self._wallets.endpoints.open(stored)
        try:
            async with self._wallets.isolation.admit(
                stored.wallet.id, "resolve", tenant_id=stored.wallet.tenant_id, wait_seconds=_WAIT_SECONDS
            ) as ticket:
                signed, forged, well_known = await asyncio.gather(
                    self._ask_balances(endpoint),
                    self._ask_balances(_with_wrong_key(endpoint)),
                    self._ask_well_known(endpoint),
                )
                if isinstance(signed, Read):
                    ticket.answered()
        except NotAdmitted as exc:
            raise WalletUnavailable(retry_after_seconds=exc.retry_after_seconds) from exc
        return Observed(
            protocol=endpoint.protocol,
            is_plain_http=endpoint.base_url.lower().startswith("http://"),
            well_known=well_known,
            signed=signed,
            forged=forged,
            review_after=self._review_after,
        )

    async def _ask_balances(self, endpoint: Endpoint) -> Read[BalancePage] | ReadFailed:
        try:
            return await self._wallets.client.query_balances(endpoint, owner_refs=[PROBE_OWNER], limit=1)
        except ReadFailed as failed:
            return failed

    async def _ask_well_known(self, endpoint: Endpoint) -> Read[WellKnown] | ReadFailed | None:
        if endpoint.protocol != "ewp/1":
            return None
        try:
            return await self._wallets.client.well_known(endpoint)
        except ReadFailed as failed:
            return failed


async def keep_capabilities(session: AsyncSession, asked: Wallet, found: WellKnown) -> Wallet | None:
    """Keep what a wallet said of itself; None where it was deleted or moved to another address since it was asked."""
    wallet = await repository.find(session, realm=asked.realm, wallet=asked.id, lock="NO KEY UPDATE")
    if wallet is None or (wallet.base_url, wallet.protocol) != (asked.base_url, asked.protocol):
        return None
    changes = {"capabilities": found.model_dump(mode="json"), "capabilities_at": datetime.now(UTC)}
    return await repository.update(session, wallet, changes)


async def _name_of_twin(session: AsyncSession, wallet: Wallet, found: WellKnown | None) -> str | None:
    if found is None or found.system_id is None:
        return None
    return await same_system_repository.find_name_of_system(
        session, realm=wallet.realm, system_id=found.system_id, but=wallet.id
    )


def _with_wrong_key(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with another key under the same id, as somebody who only knows the id would have it."""
    wrong = SecretStr(secrets.token_urlsafe(32))
    return replace(endpoint, keys=[WalletKey(key_id=endpoint.keys[0].key_id, secret=wrong)])
