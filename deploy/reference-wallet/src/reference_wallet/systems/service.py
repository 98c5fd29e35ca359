"""What the control API does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from reference_wallet.clock import WalletClock
from reference_wallet.faults import repository as fault_repository
from reference_wallet.faults.rule import ArmedRule, FaultPlan, FaultRule
from reference_wallet.settings import Settings
from reference_wallet.systems import repository, schemas
from reference_wallet.systems.errors import FaultsOff, KeyIdTaken, SystemUnknown, WalletDiffers, WalletUnknown
from reference_wallet.systems.keys import new_key, secret_context
from reference_wallet.systems.repository import System
from reference_wallet.transfers.rules import Holds, Order, Transfer
from reference_wallet.transfers.service import Transfers
from reference_wallet.wallets import repository as wallet_repository
from reference_wallet.wallets.repository import Balance
from shared import typeids
from shared.ewp.money import scale_of
from shared.problems import ValidationFailed
from shared.sealing import SealingKeyring

_OWN_TRANSACTION_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Makes systems, keys and wallets, and lets things go wrong."""

    settings: Settings
    keyring: SealingKeyring
    transfers: Transfers
    faults: FaultPlan
    clock: WalletClock
    changed: Callable[[], None]
    """Told of each change of a system once it is committed."""

    async def put_system(self, session: AsyncSession, name: str, wanted: schemas.SystemIn) -> System:
        """Make a wallet system, or change it."""
        given = wanted.model_fields_set
        holds = wanted.holds if wanted.holds is not None else self.settings.wallet_holds
        seconds = wanted.hold_seconds if "hold_seconds" in given else self.settings.wallet_hold_seconds
        event.listen(session.sync_session, "after_commit", lambda _session: self.changed(), once=True)
        return await repository.put_system(
            session, {"id": typeids.new_id(), "name": name, "holds": holds, "hold_seconds": seconds}
        )

    async def find_system(self, session: AsyncSession, name: str) -> System:
        """Return a system; raises SystemUnknown."""
        system = await repository.find_system(session, name=name)
        if system is None:
            raise SystemUnknown
        return system

    async def put_key(self, session: AsyncSession, name: str, key_id: str, wanted: schemas.KeyIn) -> schemas.KeyOut:
        """Register an API key under the id that callers name it by; raises KeyIdTaken, ValidationFailed."""
        system = await self.find_system(session, name)
        row_id = typeids.new_id()
        try:
            made = new_key(key_id, algorithm=wanted.algorithm, secret=wanted.secret)
        except ValueError as error:
            raise ValidationFailed(errors=[{"pointer": "/secret", "detail": str(error)}]) from error
        sealed = self.keyring.seal(made.secret, context=secret_context(system_id=system.id, row_id=row_id))
        values = {"id": row_id, "system_id": system.id, "key_id": key_id, "algorithm": wanted.algorithm}
        values |= {"sealed_secret": sealed, "public_key": made.callers_public_key}
        values |= {"response_public_key": made.own_public_key, "ends_at": wanted.ends_at}
        if not await repository.put_key(session, values):
            raise KeyIdTaken
        return schemas.KeyOut(key_id=key_id, public_key=made.own_public_key)

    async def delete_key(self, session: AsyncSession, name: str, key_id: str) -> None:
        """End an API key; raises SystemUnknown."""
        system = await self.find_system(session, name)
        await repository.delete_key(session, system_id=system.id, key_id=key_id)

    async def open_wallet(self, session: AsyncSession, name: str, wallet_id: str, wanted: schemas.WalletIn) -> Balance:
        """Open a wallet, or return the one that is open; raises WalletDiffers, ValidationFailed."""
        system = await self.find_system(session, name)
        scale = scale_of(wanted.currency)
        if wanted.currency not in self.settings.wallet_currencies:
            raise ValidationFailed(errors=[{"pointer": "/currency", "detail": "is not kept here"}])
        if -int(wanted.balance.as_tuple().exponent) > scale:
            raise ValidationFailed(errors=[{"pointer": "/balance", "detail": f"has at most {scale} decimals"}])
        values: dict[str, Any] = {"system_id": system.id, "wallet_id": wallet_id, "owner_ref": wanted.owner_ref}
        values |= {"currency": wanted.currency, "scale": scale, "ledger": wanted.balance}
        opened = await wallet_repository.open_wallet(session, values)
        if (opened.owner_ref, opened.currency) != (wanted.owner_ref, wanted.currency):
            raise WalletDiffers
        return opened

    async def change_wallet(
        self, session: AsyncSession, name: str, wallet_id: str, wanted: schemas.WalletChange
    ) -> Balance:
        """Freeze, unfreeze or limit a wallet; raises WalletUnknown."""
        system = await self.find_system(session, name)
        changed = await wallet_repository.change(
            session, system_id=system.id, wallet_id=wallet_id, frozen=wanted.frozen, transfer_max=wanted.transfer_max
        )
        if changed is None:
            raise WalletUnknown
        return changed

    async def wallets_of(self, session: AsyncSession, system_id: UUID) -> Sequence[Balance]:
        """Return all wallets of a system."""
        found: list[Balance] = []
        while True:
            after = found[-1].wallet_id if found else ""
            page = await wallet_repository.page(
                session, system_id=system_id, owner_refs=None, currency=None, after=after, limit=1000
            )
            found += page
            if len(page) < 1000:  # noqa: PLR2004 - the page above
                return found

    async def own_transaction(self, session: AsyncSession, name: str, wanted: schemas.OwnTransactionIn) -> Transfer:
        """Move money without having been asked to; raises FaultsOff, WalletUnknown."""
        self._demand_faults()
        system = await self.find_system(session, name)
        wallets = {wallet.wallet_id: wallet for wallet in await self.wallets_of(session, system.id)}
        wallet = wallets.get(wanted.wallet_id)
        if wallet is None:
            raise WalletUnknown
        order = Order(
            op=wanted.op,
            mode="direct",
            wallet_id=wallet.wallet_id,
            owner_ref=wallet.owner_ref,
            amount=wanted.amount,
            currency=wallet.currency,
            not_after=self.clock() + timedelta(seconds=_OWN_TRANSACTION_SECONDS),
            reference=None,
        )
        transfer_id = wanted.transfer_id or f"own-{typeids.new_id()}"
        holds = Holds(allowed=True, seconds=None)
        return await self.transfers.put(system_id=system.id, holds=holds, transfer_id=transfer_id, order=order)

    async def restore(self, session: AsyncSession, name: str, seq: int) -> System:
        """Take a system back in time; raises FaultsOff."""
        self._demand_faults()
        system = await self.find_system(session, name)
        await repository.restore(session, system_id=system.id, seq=seq)
        return await self.find_system(session, name)

    async def arm(self, session: AsyncSession, name: str, rule: FaultRule) -> ArmedRule:
        """Let calls go wrong; raises FaultsOff."""
        self._demand_faults()
        system = await self.find_system(session, name)
        armed = ArmedRule(id=typeids.new_id(), system_id=system.id, rule=rule)
        await fault_repository.insert(session, armed)
        self.faults.arm(armed)
        return armed

    async def disarm(self, session: AsyncSession, name: str) -> None:
        """Let nothing go wrong any more; raises FaultsOff."""
        self._demand_faults()
        system = await self.find_system(session, name)
        await fault_repository.delete_all(session, system_id=system.id)
        self.faults.disarm(system_id=system.id)

    def set_clock(self, skew_seconds: float) -> None:
        """Put the server's clock wrong; raises FaultsOff."""
        self._demand_faults()
        self.clock.skew_seconds = skew_seconds

    def _demand_faults(self) -> None:
        if not self.settings.wallet_faults:
            raise FaultsOff
