"""The home wallet: the CRM's own, one in each realm, a wallet like any other in everything but how it is made."""

import hmac

from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Caller
from wallet_gateway.external_wallets import repository
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.schemas import HomeWalletIn, RotateKeyIn
from wallet_gateway.external_wallets.sealed_keys import key_text_of
from wallet_gateway.external_wallets.service import ExternalWallets


class HomeWallet:
    """Makes and changes the home wallet of a realm."""

    def __init__(self, wallets: ExternalWallets) -> None:
        self._wallets = wallets

    async def put(self, session: AsyncSession, caller: Caller, wanted: HomeWalletIn) -> tuple[Wallet, str | None, bool]:
        """Make the home wallet, or set it anew; returns it, its key if this call set one, and whether it is new.

        Raises BaseUrlNotAllowed, ApiKeyMalformed, TooManyKeys, WalletInUse, WalletRegisteredTwice.
        """
        present = await repository.find(session, realm=caller.realm, wallet="home", lock="NO KEY UPDATE")
        if present is None:
            made = await self._wallets.create_home(session, caller, wanted)
            if made is not None:
                return *made, True
            # Another call was first, and has committed.
            present = await self._wallets.locked(session, caller.realm, "home")
        key = None if wanted.api_key is None else key_text_of(wanted.api_key, protocol=wanted.protocol)
        changed = await self._wallets.apply(session, caller, present, wanted.model_dump(exclude={"api_key"}))
        if key is None or _is_same(key, await self._wallets.key_text(session, changed)):
            return changed, None, False
        rotated = await self._wallets.replace_key(session, caller, changed, RotateKeyIn(api_key=wanted.api_key))
        return await self._wallets.get(session, caller.realm, "home"), rotated.api_key, False


def _is_same(key: str, present: str) -> bool:
    # As bytes: text that is not ASCII cannot be compared in constant time.
    return hmac.compare_digest(key.encode(), present.encode())
