"""SQL of decisions about transfers under review."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm
from wallet_gateway.transfers import engine_repository
from wallet_gateway.transfers.transfer import Claimed

_REOPEN = text(
    "UPDATE transfers SET status = 'pending', due_at = now(), worker_id = NULL, decision = :decision, updated_at = now()"
    " WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment AND status = 'manual_review'"
    " RETURNING id"
)
_INSERT = text(
    "INSERT INTO transfer_decisions (transfer_id, number, decision, evidence, decided_by)"
    " SELECT :id, coalesce(max(number), 0) + 1, :decision, :evidence, :by FROM transfer_decisions WHERE transfer_id = :id"
)
# A person who ends a transfer vouches that both wallets are right: the journal follows, by postings that say so.
_POST_BY_HAND = text(
    """
    INSERT INTO journal (transfer_id, movement, tenant_id, environment, wallet_id, clearing_wallet_id, currency, amount, basis)
    SELECT t.id, m.movement, t.tenant_id, t.environment,
        CASE WHEN m.movement IN ('credit', 'credit_undone') THEN t.target_wallet_id ELSE t.source_wallet_id END,
        t.source_wallet_id, t.currency, t.amount, 'decision'
    FROM transfers t CROSS JOIN (VALUES ('debit', true, NULL), ('credit', true, NULL), ('refund', false, 'debit'),
        ('credit_undone', false, 'credit')) AS m (movement, when_completed, undoes)
    WHERE t.id = :id AND m.when_completed = :is_completed
        AND (m.undoes IS NULL OR EXISTS (
            SELECT 1 FROM journal j WHERE j.transfer_id = t.id AND j.movement = m.undoes))
    ON CONFLICT (transfer_id, movement) DO NOTHING
    """
)


async def reopen(
    session: AsyncSession, *, realm: Realm, transfer_id: UUID, decision: str, evidence: str, by: str
) -> Claimed | None:
    """Write a decision down and claim the transfer for this transaction; None unless it is under review."""
    if await session.scalar(_REOPEN, {**_named(realm, transfer_id), "decision": decision}) is None:
        return None
    # The row is locked by now: nobody else counts decisions of this transfer.
    await session.execute(_INSERT, {"id": transfer_id, "decision": decision, "evidence": evidence, "by": by})
    # No worker: whoever finds it due after the commit goes on with it.
    connection = await session.connection()
    (claimed,) = await engine_repository.claim(connection, worker_id=None, limit=1, ids=[transfer_id])
    return claimed


async def exists(session: AsyncSession, *, realm: Realm, transfer_id: UUID) -> bool:
    """Tell whether the realm has this transfer."""
    statement = text("SELECT 1 FROM transfers WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment")
    return await session.scalar(statement, _named(realm, transfer_id)) is not None


async def post_by_hand(session: AsyncSession, *, transfer_id: UUID, is_completed: bool) -> None:
    """Post what is missing from the journal after a person has ended a transfer."""
    await session.execute(_POST_BY_HAND, {"id": transfer_id, "is_completed": is_completed})


def _named(realm: Realm, transfer_id: UUID) -> dict[str, Any]:
    return {"id": transfer_id, "tenant_id": realm.tenant_id, "environment": realm.environment}
