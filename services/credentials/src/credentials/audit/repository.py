"""SQL of the audit log: tables ``audit_entries`` and ``audit_heads``."""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, Uuid, column, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.chain import FIRST_PREVIOUS_HASH, AuditEntry
from credentials.audit.proof import Proof

heads = table("audit_heads", column("chain_id", Uuid()), column("number", BigInteger()), column("hash", LargeBinary()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The last entry of a chain: its number and hash."""

    number: int
    hash: bytes


async def lock_head(session: AsyncSession, *, chain_id: UUID) -> ChainHead:
    """Return a chain's head, held until this transaction ends; an empty chain has the number 0."""
    await session.execute(
        text(
            "INSERT INTO audit_heads (chain_id, number, hash) VALUES (:chain_id, 0, :hash)"
            " ON CONFLICT (chain_id) DO NOTHING"
        ),
        {"chain_id": chain_id, "hash": FIRST_PREVIOUS_HASH},
    )
    row = (
        await session.execute(
            text("SELECT number, hash FROM audit_heads WHERE chain_id = :chain_id FOR UPDATE"), {"chain_id": chain_id}
        )
    ).one()
    return ChainHead(number=row.number, hash=row.hash)


async def append(
    session: AsyncSession, entry: AuditEntry, *, previous_hash: bytes, entry_hash: bytes, proof: Proof
) -> None:
    """Store an entry and make it the head; the caller holds the head."""
    await session.execute(
        text(
            "INSERT INTO audit_entries (id, chain_id, number, environment, at, action, actor_kind, actor_id, target_kind,"
            " target_id, outcome, reason, request_id, ip, changes, previous_hash, hash, proof_key_id, proof)"
            " VALUES (:id, :chain_id, :number, :environment, :at, :action, :actor_kind, :actor_id, :target_kind,"
            " :target_id, :outcome, :reason, :request_id, CAST(:ip AS inet), :changes, :previous_hash, :hash,"
            " :proof_key_id, :proof)"
        ),
        {
            **asdict(entry),
            "previous_hash": previous_hash,
            "hash": entry_hash,
            "proof_key_id": proof.key_id,
            "proof": proof.mac,
        },
    )
    await session.execute(
        text("UPDATE audit_heads SET number = :number, hash = :hash WHERE chain_id = :chain_id"),
        {"chain_id": entry.chain_id, "number": entry.number, "hash": entry_hash},
    )
