"""How wallets are shown."""

from typing import Any

from wallet_gateway.external_wallets import schemas
from wallet_gateway.external_wallets.protocol_limits import warnings_of
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.service import RevealedKey

_PLAIN_FIELDS = frozenset(schemas.WalletOut.model_fields) - {"api_key_id", "warnings"}


def shown_fields(wallet: Wallet) -> dict[str, Any]:
    """Return the fields of ``WalletOut`` and of what derives from it."""
    warned = warnings_of(wallet.protocol, has_transfer_call=wallet.transfer_call is not None)
    return {
        **{name: getattr(wallet, name) for name in _PLAIN_FIELDS},
        "api_key_id": wallet.key_id,
        "warnings": [schemas.Warned(code=code, detail=detail) for code, detail in warned],
    }


def shown(wallet: Wallet) -> schemas.WalletOut:
    """Return a wallet without any secret."""
    return schemas.WalletOut(**shown_fields(wallet))


def revealed(key: RevealedKey) -> schemas.ApiKeyOut:
    """Return an API key in clear."""
    return schemas.ApiKeyOut(
        api_key=key.api_key,
        api_key_id=key.api_key_id,
        created_at=key.created_at,
        previous_expires_at=key.previous_expires_at,
    )
