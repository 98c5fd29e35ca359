"""Table ``audit_entries`` as the log reads it; the chain writes it, see ``repository``."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from credentials.audit.chain import AuditEntry
from credentials.audit.proof import Proof
from credentials.tables import Base


class StoredEntry(Base):
    """One entry with its place in the chain and its hashes."""

    __tablename__ = "audit_entries"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    chain_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(BigInteger)
    environment: Mapped[str | None]
    at: Mapped[datetime]
    action: Mapped[str]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str]
    outcome: Mapped[Literal["allowed", "denied"]] = mapped_column(Text)
    reason: Mapped[str | None]
    request_id: Mapped[str | None]
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    changes: Mapped[str]
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
    proof_key_id: Mapped[str | None]
    proof: Mapped[bytes | None]

    @property
    def proven(self) -> Proof | None:
        """Return its proof; None for an entry from before there were proofs."""
        if self.proof_key_id is None or self.proof is None:
            return None
        return Proof(key_id=self.proof_key_id, mac=self.proof)

    def hashed(self) -> AuditEntry:
        """Return what its hash must cover."""
        fields = {name: getattr(self, name) for name in AuditEntry.__dataclass_fields__}
        return AuditEntry(**{**fields, "ip": str(self.ip) if self.ip else None})
