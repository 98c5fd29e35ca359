"""Making the texts of security tokens, and their two stored forms: hashed to be recognised, sealed to be shown again."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from credentials.verification.key_hashing import HashedKey, PepperRing
from shared import key_format
from shared.sealing import SealContext, SealingKeyring

ENVIRONMENT: key_format.Environment = "live"
"""A tenant has one token, and it is live: environments never mix, so a test credential neither sees nor refreshes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new text, which leaves this process only in the answer, and what is stored of it."""

    text: SecretStr
    hashed: HashedKey
    sealed: bytes
    form: key_format.KeyForm


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """Issues texts under the newest pepper and sealing key."""

    peppers: PepperRing
    sealing: SealingKeyring

    def issue(self, *, token_id: UUID, tenant_id: UUID) -> IssuedToken:
        """Return a new text for this token."""
        text = key_format.generate("security_token", ENVIRONMENT)
        form = key_format.parse(text)
        assert form is not None
        sealed = self.sealing.seal(text.encode(), context=seal_context(token_id=token_id, tenant_id=tenant_id))
        return IssuedToken(text=SecretStr(text), hashed=self.peppers.hash(text), sealed=sealed, form=form)

    def open(self, sealed: bytes, *, token_id: UUID, tenant_id: UUID) -> SecretStr:
        """Return the text again; raises shared.sealing.SealingError."""
        opened = self.sealing.open(sealed, context=seal_context(token_id=token_id, tenant_id=tenant_id))
        return SecretStr(opened.decode())


def seal_context(*, token_id: UUID, tenant_id: UUID) -> SealContext:
    """Return where a sealed token lives."""
    return SealContext(table="security_tokens", column="sealed_token", row_id=token_id, tenant_id=tenant_id)
