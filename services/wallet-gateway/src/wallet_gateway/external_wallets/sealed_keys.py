"""A wallet's API keys: made or checked, sealed, and opened into the Endpoint that the client calls."""

import secrets
from uuid import UUID

from pydantic import SecretStr

from shared import typeids
from shared.sealing import SealContext, SealingKeyring
from shared.telemetry import holds_secret
from wallet_gateway.external_wallets.errors import ApiKeyMalformed
from wallet_gateway.external_wallets.repository import SealedKey, StoredWallet, Wallet
from wallet_gateway.external_wallets.transfer_call import transfer_call_of
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey

GENERATED_PREFIX = "ewk_"
_GENERATED_BYTES = 32
OWN_KEY_BYTES_MIN = 24
OWN_KEY_BYTES_MAX = 512


def key_text_of(own: SecretStr | None, *, protocol: str) -> str:
    """Return the own key, checked, or a new one with 256 random bits. Raises ApiKeyMalformed."""
    if own is None:
        return GENERATED_PREFIX + secrets.token_urlsafe(_GENERATED_BYTES)
    text = own.get_secret_value()
    if not OWN_KEY_BYTES_MIN <= len(text.encode(errors="replace")) <= OWN_KEY_BYTES_MAX:
        raise ApiKeyMalformed(f"An own API key has {OWN_KEY_BYTES_MIN} to {OWN_KEY_BYTES_MAX} bytes.")
    if not text.isprintable() or text != text.strip():
        raise ApiKeyMalformed("An own API key is printable text without spaces at its ends.")
    if protocol == "crm-v1" and not (text.isascii() and " " not in text):
        raise ApiKeyMalformed("With crm-v1 the key stands in a header: printable ASCII without spaces.")
    if holds_secret(text) and not text.startswith(GENERATED_PREFIX):
        raise ApiKeyMalformed("This is a credential of Causeway's own; treat it as leaked, and use another key.")
    return text


def key_id_text(key_id: UUID) -> str:
    """Return ``api_key_id``, which signatures carry as ``keyid``."""
    return typeids.encode("key", key_id)


class Endpoints:
    """Seals keys, and opens what is stored into what the client calls."""

    def __init__(self, keyring: SealingKeyring) -> None:
        self._keyring = keyring

    def seal(self, text: str, *, tenant_id: UUID, key_id: UUID) -> bytes:
        """Return the sealed form of a key."""
        return self._keyring.seal(text.encode(), context=_context(tenant_id=tenant_id, key_id=key_id))

    def unseal(self, key: SealedKey, *, tenant_id: UUID) -> SecretStr:
        """Return a key in clear; raises SealingError."""
        context = _context(tenant_id=tenant_id, key_id=key.id)
        return SecretStr(self._keyring.open(key.sealed_secret, context=context).decode())

    def open(self, stored: StoredWallet, *, base_url: str | None = None) -> Endpoint:
        """Return the endpoint with its keys in clear, newest first; raises SealingError.

        ``base_url`` is that of a step which began before the wallet's own was changed.
        """
        wallet = stored.wallet
        return Endpoint(
            wallet_id=wallet.id,
            base_url=base_url or wallet.base_url,
            protocol=wallet.protocol,
            keys=[self._key_of(wallet, key) for key in stored.keys],
            response_signatures=wallet.response_signatures,
            timeout_seconds=float(wallet.timeout_seconds),
            transfer_call=transfer_call_of(wallet.transfer_call) if wallet.transfer_call else None,
        )

    def _key_of(self, wallet: Wallet, key: SealedKey) -> WalletKey:
        return WalletKey(key_id=key_id_text(key.id), secret=self.unseal(key, tenant_id=wallet.tenant_id))


def _context(*, tenant_id: UUID, key_id: UUID) -> SealContext:
    return SealContext(table="wallet_keys", column="sealed_secret", row_id=key_id, tenant_id=tenant_id)
