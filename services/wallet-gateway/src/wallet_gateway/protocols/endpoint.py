"""A wallet system as it is to be called: where, in which protocol, under which keys. Pure data; made by external_wallets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import SecretStr

Protocol = Literal["ewp/1", "crm-v1"]
ResponseSignatures = Literal["required", "optional"]
Algorithm = Literal["hmac-sha256", "ed25519"]
TransferField = Literal["transfer_id", "op", "wallet_id", "owner_ref", "amount", "currency", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletKey:
    """One API key of a wallet. For ``hmac-sha256`` the key is the UTF-8 bytes of ``secret``'s text.

    For ``ed25519``, ``secret`` is our private key and ``response_public_key`` the wallet's public one, each 32 bytes in base64.
    """

    key_id: str
    secret: SecretStr
    algorithm: Algorithm = "hmac-sha256"
    response_public_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCall:
    """The write call of a ``crm-v1`` wallet, as its operator describes it. Nothing of it is guessed.

    The request is a JSON object with the ``fields`` named here, ours → theirs; ``op``, ``owner_ref``, ``amount`` and ``currency``
    must be among them. An answer is a success when it is a 200 or 201 with a JSON object in which ``success_field`` is exactly
    ``success_value``; everything else is unknown.
    """

    path: str
    """Below the base URL, beginning with a slash."""
    method: Literal["POST", "PUT"]
    fields: dict[TransferField, str]
    success_field: str
    success_value: str | int | bool
    credit_value: str = "credit"
    debit_value: str = "debit"
    amount_as: Literal["string", "number"] = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One wallet system. ``wallet_id`` is the external wallet's id in the gateway's database."""

    wallet_id: UUID | None
    base_url: str
    protocol: Protocol = "ewp/1"
    keys: Sequence[WalletKey]
    """Newest first, never empty; each signs every request, so that a rotation can overlap."""
    response_signatures: ResponseSignatures = "optional"
    timeout_seconds: float = 10.0
    """For one call, everything included."""
    transfer_call: TransferCall | None = None

    @property
    def repeats_safely(self) -> bool:
        """Tell whether a step may be sent again after an unknown outcome. If not, unknown means manual review at once."""
        return self.protocol == "ewp/1"

    @property
    def moves_money(self) -> bool:
        """Tell whether transfers are possible at all; if not, they are refused with ``protocol_cannot_transfer``."""
        return self.protocol == "ewp/1" or self.transfer_call is not None
