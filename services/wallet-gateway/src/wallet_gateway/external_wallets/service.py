"""Rules of wallets: what may be registered, how keys are made and rotated, what enabling, freezing and deleting mean."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.audit_entries import repository as audit_entries
from shared.egress import AddressPolicy
from shared.problems import NotFound, ValidationFailed
from wallet_gateway.external_wallets import repository, usage_repository, wallet_keys_repository
from wallet_gateway.external_wallets.base_url import check_base_url
from wallet_gateway.external_wallets.errors import (
    TooManyKeys,
    WalletInUse,
    WalletLimitReached,
    WalletNotFrozen,
    WalletRegisteredTwice,
)
from wallet_gateway.external_wallets.protocol_limits import misfit_of, warnings_of
from wallet_gateway.external_wallets.repository import SealedKey, Wallet, WalletRef
from wallet_gateway.external_wallets.same_system import canonical
from wallet_gateway.external_wallets.schemas import HomeWalletIn, RotateKeyIn, WalletIn, WalletPatch
from wallet_gateway.external_wallets.sealed_keys import Endpoints, key_text_of

WALLETS_MAX = 200
"""External wallets of a realm. The balances of one client are asked of all of them at once."""
KEYS_MAX = 2
"""Keys that sign at once: the protocol knows two signatures in a request, during a rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedKey:
    """An API key as its owner may see it."""

    api_key: str
    api_key_id: UUID
    created_at: datetime
    previous_expires_at: datetime | None = None


class Feeds(Protocol):
    """What has to be known of wallets' feeds when wallets change; ``reconciliation.repository`` keeps it."""

    async def begin_other_feed(self, session: AsyncSession, *, wallet_id: UUID) -> None:
        """Read a wallet that has moved as one that is new."""
        ...

    async def forget_feed(self, session: AsyncSession, *, wallet_id: UUID) -> None:
        """Read a wallet from its beginning, and let nothing pass because it is old."""
        ...


class ExternalWallets:
    """The wallets of one process, external and home; takes a session for each call."""

    def __init__(self, *, endpoints: Endpoints, policy: AddressPolicy, feeds: Feeds) -> None:
        self._endpoints = endpoints
        self._feeds = feeds
        self._policy = policy

    async def create(self, session: AsyncSession, caller: Caller, wanted: WalletIn) -> tuple[Wallet, str]:
        """Register an external wallet; returns it with its API key.

        Raises BaseUrlNotAllowed, ApiKeyMalformed, WalletLimitReached, WalletRegisteredTwice.
        """
        if await repository.count_locked(session, realm=caller.realm) >= WALLETS_MAX:
            raise WalletLimitReached
        made = await self._make(session, caller, wanted, is_home=False)
        assert made is not None  # only a home wallet can be there already
        return made

    async def create_home(
        self, session: AsyncSession, caller: Caller, wanted: HomeWalletIn
    ) -> tuple[Wallet, str] | None:
        """Make the home wallet; None where there is one. Raises BaseUrlNotAllowed, ApiKeyMalformed, WalletRegisteredTwice."""
        return await self._make(session, caller, wanted, is_home=True)

    async def get(self, session: AsyncSession, realm: Realm, wallet: WalletRef) -> Wallet:
        """Return a wallet; raises NotFound."""
        return _found(await repository.find(session, realm=realm, wallet=wallet))

    async def locked(self, session: AsyncSession, realm: Realm, wallet: WalletRef) -> Wallet:
        """Return a wallet that nobody else changes until the transaction ends; raises NotFound."""
        return _found(await repository.find(session, realm=realm, wallet=wallet, lock="NO KEY UPDATE"))

    async def change(self, session: AsyncSession, caller: Caller, wallet_id: UUID, wanted: WalletPatch) -> Wallet:
        """Change the fields that were sent; raises NotFound, and what ``apply`` raises."""
        wallet = await self.locked(session, caller.realm, wallet_id)
        return await self.apply(session, caller, wallet, wanted.model_dump(exclude_unset=True))

    async def apply(self, session: AsyncSession, caller: Caller, wallet: Wallet, changes: dict[str, Any]) -> Wallet:
        """Change columns of a locked wallet and audit it.

        Raises BaseUrlNotAllowed, ValidationFailed, WalletInUse, WalletRegisteredTwice.
        """
        settings = {
            name: getattr(wallet, name) for name in ("protocol", "response_signatures", "transfer_call")
        } | changes
        misfit = misfit_of(
            settings["protocol"],
            response_signatures=settings["response_signatures"],
            has_transfer_call=settings["transfer_call"] is not None,
        )
        if misfit is not None:
            raise ValidationFailed(errors=[{"pointer": f"/{misfit[0]}", "detail": misfit[1]}])
        if "base_url" in changes:
            check_base_url(changes["base_url"], policy=self._policy)
        if settings["protocol"] != wallet.protocol:
            await _refuse_if_in_use(session, wallet)
        # The same place in another spelling has the same feed: its position stays, or a step back would not show.
        moved = (canonical(changes.get("base_url", wallet.base_url)), settings["protocol"]) != (
            canonical(wallet.base_url),
            wallet.protocol,
        )
        # What another server could do says nothing of this one.
        forgotten = {"capabilities": None, "capabilities_at": None} if moved else {}
        if moved:
            await self._refuse_twin(session, wallet, changes.get("base_url", wallet.base_url))
            await self._feeds.begin_other_feed(session, wallet_id=wallet.id)
        changed = await repository.update(session, wallet, {**changes, **forgotten})
        await audit(session, caller, "wallet.changed", changed, {**changes, **_warned(changed)})
        return changed

    async def delete(self, session: AsyncSession, caller: Caller, wallet_id: UUID) -> None:
        """Delete a wallet and its keys; its transfers stay. Raises NotFound, WalletInUse."""
        wallet = await self.locked(session, caller.realm, wallet_id)
        await _refuse_if_in_use(session, wallet)
        await repository.mark_deleted(session, wallet)
        await audit(session, caller, "wallet.deleted", wallet, {})

    async def enable(self, session: AsyncSession, caller: Caller, wallet_id: UUID) -> Wallet:
        """Enable a wallet. Raises NotFound."""
        return await self._switch(session, caller, wallet_id, enabled=True)

    async def disable(self, session: AsyncSession, caller: Caller, wallet_id: UUID) -> Wallet:
        """Disable a wallet: nothing new is asked of it; transfers under way are still brought to their end. Raises NotFound."""
        return await self._switch(session, caller, wallet_id, enabled=False)

    async def unfreeze(self, session: AsyncSession, caller: Caller, wallet_id: UUID, evidence: str) -> Wallet:
        """Let transfers begin again; the evidence is audited. Raises NotFound, WalletNotFrozen."""
        wallet = await self.locked(session, caller.realm, wallet_id)
        if not wallet.frozen:
            raise WalletNotFrozen
        # Whatever it says now is read from its beginning, and compared with all that we know.
        await self._feeds.forget_feed(session, wallet_id=wallet.id)
        thawed = await repository.update(session, wallet, {"frozen": False, "frozen_reason": None, "frozen_at": None})
        await audit(
            session, caller, "wallet.unfrozen", wallet, {"evidence": evidence, "frozen_reason": wallet.frozen_reason}
        )
        return thawed

    async def reveal_key(self, session: AsyncSession, caller: Caller, wallet: WalletRef) -> RevealedKey:
        """Show the newest API key; audited. Raises NotFound."""
        found = await self.get(session, caller.realm, wallet)
        newest, *older = await wallet_keys_repository.active_keys(session, wallet_id=found.id)
        await audit(session, caller, "wallet.api_key_revealed", found, {"api_key_id": _key_id(newest.id)})
        return RevealedKey(
            api_key=self._endpoints.unseal(newest, tenant_id=found.tenant_id).get_secret_value(),
            api_key_id=newest.id,
            created_at=newest.created_at,
            previous_expires_at=max((key.expires_at for key in older if key.expires_at), default=None),
        )

    async def rotate_key(
        self, session: AsyncSession, caller: Caller, wallet: WalletRef, wanted: RotateKeyIn
    ) -> RevealedKey:
        """Replace the API key; the old one signs beside it for the overlap. Raises NotFound, and what ``replace_key`` does."""
        found = await self.locked(session, caller.realm, wallet)
        return await self.replace_key(session, caller, found, wanted)

    async def replace_key(
        self, session: AsyncSession, caller: Caller, wallet: Wallet, wanted: RotateKeyIn
    ) -> RevealedKey:
        """Replace the API key of a locked wallet. Raises ApiKeyMalformed, TooManyKeys, WalletRegisteredTwice."""
        text = key_text_of(wanted.api_key, protocol=wallet.protocol)
        signing = len(await wallet_keys_repository.active_keys(session, wallet_id=wallet.id))
        if wanted.overlap_seconds and signing >= KEYS_MAX:
            raise TooManyKeys
        ends = await wallet_keys_repository.expire_keys(
            session, wallet_id=wallet.id, overlap_seconds=wanted.overlap_seconds
        )
        rotated = await self.add_key(session, wallet, text)
        assert rotated.key_id is not None
        await self._refuse_twin(session, rotated, rotated.base_url)
        changes = {"api_key_id": _key_id(rotated.key_id), "overlap_seconds": wanted.overlap_seconds}
        await audit(session, caller, "wallet.api_key_rotated", wallet, changes)
        return RevealedKey(
            api_key=text, api_key_id=rotated.key_id, created_at=rotated.updated_at, previous_expires_at=ends
        )

    async def add_key(self, session: AsyncSession, wallet: Wallet, text: str) -> Wallet:
        """Seal and keep a key as the wallet's newest; returns the wallet with it."""
        key_id = typeids.new_id()
        sealed = self._endpoints.seal(text, tenant_id=wallet.tenant_id, key_id=key_id)
        made_at = await wallet_keys_repository.insert_key(
            session, key_id=key_id, wallet_id=wallet.id, sealed_secret=sealed
        )
        return replace(wallet, key_id=key_id, updated_at=made_at)

    async def key_text(self, session: AsyncSession, wallet: Wallet) -> str:
        """Return the newest key in clear, for comparing; whoever shows it must audit it."""
        newest, *_ = await wallet_keys_repository.active_keys(session, wallet_id=wallet.id)
        return self._endpoints.unseal(newest, tenant_id=wallet.tenant_id).get_secret_value()

    async def _make(
        self, session: AsyncSession, caller: Caller, wanted: WalletIn | HomeWalletIn, *, is_home: bool
    ) -> tuple[Wallet, str] | None:
        check_base_url(wanted.base_url, policy=self._policy)
        key = key_text_of(wanted.api_key, protocol=wanted.protocol)
        wallet = await repository.insert(session, _new_row(caller, wanted, is_home=is_home))
        if wallet is None:
            return None
        wallet = await self.add_key(session, wallet, key)
        await self._refuse_twin(session, wallet, wallet.base_url)
        settings = {name: getattr(wallet, name) for name in ("base_url", "protocol", "transfer_call")}
        await audit(session, caller, "wallet.created", wallet, {**settings, **_warned(wallet)})
        return wallet, key

    async def _refuse_twin(self, session: AsyncSession, wallet: Wallet, base_url: str) -> None:
        """Raise WalletRegisteredTwice where another wallet of the realm is at this base URL with a key of this wallet's."""
        here, realm = canonical(base_url), wallet.realm
        stored = await repository.load_many(session, realm=realm, home=True, external=True)
        beside = [each for each in stored if each.wallet.id != wallet.id and canonical(each.wallet.base_url) == here]
        if not beside:
            return
        own = {
            self._text(key, wallet) for key in await wallet_keys_repository.active_keys(session, wallet_id=wallet.id)
        }
        if any(self._text(key, wallet) in own for each in beside for key in each.keys):
            raise WalletRegisteredTwice

    def _text(self, key: SealedKey, wallet: Wallet) -> str:
        return self._endpoints.unseal(key, tenant_id=wallet.tenant_id).get_secret_value()

    async def _switch(self, session: AsyncSession, caller: Caller, wallet_id: UUID, *, enabled: bool) -> Wallet:
        wallet = await self.locked(session, caller.realm, wallet_id)
        if wallet.enabled != enabled:
            changes = {"enabled": enabled, "disabled_at": None if enabled else datetime.now(UTC)}
            wallet = await repository.update(session, wallet, changes)
        await audit(session, caller, "wallet.enabled" if enabled else "wallet.disabled", wallet, {})
        return wallet


def _new_row(caller: Caller, wanted: WalletIn | HomeWalletIn, *, is_home: bool) -> dict[str, Any]:
    """Return the columns of a new wallet."""
    return {
        **wanted.model_dump(exclude={"api_key"}),
        "id": typeids.new_id(),
        "tenant_id": caller.realm.tenant_id,
        "environment": caller.realm.environment,
        "is_home": is_home,
        "created_by": caller.actor,
    }


async def audit(session: AsyncSession, caller: Caller, action: str, wallet: Wallet, changes: Mapping[str, Any]) -> None:
    """Write the entry of what a request did to a wallet."""
    await audit_entries.record(session, caller, action=action, target=typeids.encode("ew", wallet.id), changes=changes)


async def _refuse_if_in_use(session: AsyncSession, wallet: Wallet) -> None:
    """Return once no transfer can begin with this wallet before the transaction ends; raises WalletInUse."""
    await repository.find(session, realm=wallet.realm, wallet=wallet.id, lock="UPDATE")
    if await usage_repository.has_open_transfers(session, wallet_id=wallet.id):
        raise WalletInUse


def _warned(wallet: Wallet) -> dict[str, Any]:
    warned = warnings_of(wallet.protocol, has_transfer_call=wallet.transfer_call is not None)
    return {"warnings": [code for code, _ in warned]} if warned else {}


def _key_id(key_id: UUID) -> str:
    return typeids.encode("key", key_id)


def _found(wallet: Wallet | None) -> Wallet:
    if wallet is None:
        raise NotFound
    return wallet
