"""Where a reader that follows all events of a realm stands, and its opaque form."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

from shared.problems import ValidationFailed

CURSOR_PATTERN = "^[A-Za-z0-9_-]{32}$"
_TRANSACTION_BYTES = 8
_TRANSACTION_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPosition:
    """The last event read: the transaction that wrote it, and its row id."""

    transaction: int
    id: UUID

    @classmethod
    def from_cursor(cls, cursor: str) -> "SettledPosition":
        """Return the position in a cursor, the beginning for an empty one; raises ValidationFailed."""
        if not cursor:
            return BEGINNING
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            # Beyond what any transaction has there is nothing to read, as behind the newest event.
            transaction = min(int.from_bytes(raw[:_TRANSACTION_BYTES]), _TRANSACTION_MAX)
            return cls(transaction=transaction, id=UUID(bytes=raw[_TRANSACTION_BYTES:]))
        except (ValueError, binascii.Error) as exc:
            raise _not_ours() from exc

    def cursor(self) -> str:
        """Return the opaque form."""
        return base64.urlsafe_b64encode(self.transaction.to_bytes(_TRANSACTION_BYTES) + self.id.bytes).decode()


BEGINNING = SettledPosition(transaction=0, id=UUID(int=0))


def _not_ours() -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": "query/after", "detail": "not a cursor of this order"}])
