"""Who calls: the signatures of a request under the keys of one wallet system, and its nonce once for all processes."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request as HttpRequest

from reference_wallet.clock import WalletClock
from reference_wallet.signed_calls.errors import SignatureRefused
from reference_wallet.signed_calls.used_nonces import UsedNonces
from reference_wallet.systems import repository
from reference_wallet.systems.keys import OpenedKey, opened_key, secret_context
from reference_wallet.systems.repository import StoredKey, UsedNonce
from reference_wallet.transfers.rules import Holds
from shared.database import Database
from shared.ewp.signature_errors import NonceReplayedError, SignatureRefusedError
from shared.ewp.signatures import TOLERANCE_SECONDS, Request, Verified, verify_request
from shared.ewp.signing_keys import SigningKey
from shared.sealing import SealingKeyring

_KEYS_OFFERED_MAX = 8
_REMEMBERED_SECONDS = 1.0
_REMEMBERED_MAX = 1000
# Only which keys to look up; what the field means is decided by the verifier.
_KEY_ID = re.compile(r'keyid="([\x20\x21\x23-\x5b\x5d-\x7e]{1,256})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCall:
    """A request whose sender is proved."""

    system_id: UUID
    holds: Holds
    key: SigningKey
    """What the answer is signed with."""
    request_signature: str
    """The request's ``Signature`` field, to which the answer's signature is bound."""
    body: bytes


@dataclass(slots=True, kw_only=True)
class Callers:
    """Verifies calls. A key that was deleted is refused after a second at the latest."""

    database: Database
    keyring: SealingKeyring
    clock: WalletClock
    nonces: UsedNonces
    _known: dict[str, tuple[float, StoredKey, OpenedKey]] = field(default_factory=dict)

    async def verify(self, request: HttpRequest, body: bytes) -> SignedCall:
        """Return who calls; raises SignatureRefused."""
        offered = {key_id for line in request.headers.getlist("signature-input") for key_id in _KEY_ID.findall(line)}
        keys = await self._keys(sorted(offered)[:_KEYS_OFFERED_MAX])
        try:
            verified = self._verified(request, body, keys)
            key, opened = keys[verified.key_id]
            await self._use_nonce(key.system_id, verified)
        except SignatureRefusedError as refused:
            raise SignatureRefused(refused) from refused
        return SignedCall(
            system_id=key.system_id,
            holds=Holds(allowed=key.holds, seconds=key.hold_seconds),
            key=opened.signs,
            request_signature=", ".join(line.strip(" \t") for line in request.headers.getlist("signature")),
            body=body,
        )

    def forget(self) -> None:
        """Look everything up anew: a system or a key was changed by this very process."""
        self._known.clear()

    async def recognise(self, request: HttpRequest) -> SignedCall | None:
        """Return who calls where nobody has to say it; None without a signature that holds."""
        if "signature-input" not in request.headers:
            return None
        try:
            return await self.verify(request, b"")
        except SignatureRefused:
            return None

    def _verified(self, request: HttpRequest, body: bytes, keys: dict[str, tuple[StoredKey, OpenedKey]]) -> Verified:
        scope = request.scope
        query = scope["query_string"].decode("latin-1")
        signed = Request(
            method=scope["method"],
            scheme=scope["scheme"],
            authority=request.headers.get("host", ""),
            target=scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
            body=body,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        )
        now = self.clock()
        in_force = {key_id: opened.verifies for key_id, (key, opened) in keys.items() if not _has_ended(key, now)}
        return verify_request(signed, keys=in_force, now=now.timestamp(), nonces=None)

    async def _use_nonce(self, system_id: UUID, verified: Verified) -> None:
        assert verified.created is not None, "demanded of a request"
        assert verified.nonce is not None, "demanded of a request"
        expires_at = datetime.fromtimestamp(verified.created + TOLERANCE_SECONDS, UTC)
        if not await self.nonces.note(UsedNonce(system_id=system_id, nonce=verified.nonce, expires_at=expires_at)):
            raise NonceReplayedError("this nonce was used before")

    async def _keys(self, key_ids: Sequence[str]) -> dict[str, tuple[StoredKey, OpenedKey]]:
        now = time.monotonic()
        keys = {key_id: known[1:] for key_id in key_ids if (known := self._known.get(key_id)) and known[0] >= now}
        missing = [key_id for key_id in key_ids if key_id not in keys]
        if missing:
            async with self.database.autocommit() as connection:
                found = await repository.find_keys(connection, key_ids=missing)
            if len(self._known) > _REMEMBERED_MAX:
                self._known.clear()
            for key in found:
                keys[key.key_id] = (key, self._opened(key))
                self._known[key.key_id] = (now + _REMEMBERED_SECONDS, *keys[key.key_id])
        return keys

    def _opened(self, key: StoredKey) -> OpenedKey:
        context = secret_context(system_id=key.system_id, row_id=key.id)
        secret = self.keyring.open(key.sealed_secret, context=context)
        return opened_key(key.key_id, secret=secret, public_key=key.public_key)


def _has_ended(key: StoredKey, now: datetime) -> bool:
    return key.ends_at is not None and key.ends_at <= now
