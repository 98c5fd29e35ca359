"""SQL of what wallets' feeds said, and of our orders beside it. For workers."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.ewp.messages import TransferAnswer
from wallet_gateway.external_wallets.same_system import canonical
from wallet_gateway.reconciliation.comparison import OurOrder, OurStep, TheirOrder
from wallet_gateway.reconciliation.feed import Position
from wallet_gateway.reconciliation.step_ids import leg_of_kind, parse_order_id
from wallet_gateway.transfers.plan import Leg, StepKind

_STORE = text(
    """
    WITH kept AS (
    INSERT INTO feed_states (wallet_id, step_id, transfer_id, leg, seq, state, op, amount, currency, wallet_txn_id)
    SELECT :wallet_id, e.step_id, e.transfer_id, e.leg, e.seq, e.state, e.op, e.amount, e.currency, e.wallet_txn_id
    FROM jsonb_to_recordset(CAST(:entries AS jsonb)) AS e (
        step_id text, transfer_id uuid, leg text, seq bigint, state text, op text, amount numeric, currency text,
        wallet_txn_id text
    )
    ON CONFLICT (wallet_id, step_id) DO UPDATE SET
        seq = excluded.seq, state = excluded.state, op = excluded.op, amount = excluded.amount,
        currency = excluded.currency, wallet_txn_id = excluded.wallet_txn_id, read_at = now()
    RETURNING new.transfer_id AS transfer_id, old.step_id IS NULL AS is_new
    )
    UPDATE feed_positions SET strangers = strangers + (
        SELECT count(*) FROM kept
        WHERE is_new AND NOT EXISTS (SELECT FROM transfer_steps s WHERE s.transfer_id = kept.transfer_id)
    )
    WHERE wallet_id = :wallet_id RETURNING strangers
    """
)
_MOVE_ON = text(
    "UPDATE feed_positions SET seq = :seq, step_id = :step_id, state = :state"
    " WHERE wallet_id = :wallet_id AND seq = :before"
)
_BEGIN = text(
    "INSERT INTO feed_positions (wallet_id, seq, step_id, state) VALUES (:wallet_id, :seq, :step_id, :state)"
    " ON CONFLICT (wallet_id) DO NOTHING"
)
_HERE = "(SELECT w.base_url FROM external_wallets w WHERE w.id = :wallet_id) AS here"
"""The address that the wallet has now. Spellings are compared by ``canonical``, here as everywhere, and not by Postgres."""
_TRANSFERS = text(
    """
    SELECT DISTINCT transfer_id FROM transfer_steps
    WHERE wallet_id = :wallet_id AND begun_at >= :from_at AND begun_at < :to_at
      AND (CAST(:after AS uuid) IS NULL OR transfer_id > :after)
    ORDER BY transfer_id LIMIT :limit
    """
)
_STEPS = text(
    f"""
    SELECT s.transfer_id, s.kind, s.outcome, t.ended_at, t.amount, t.currency, t.decision,
        s.endpoint ->> 'base_url' AS given_at, {_HERE}
    FROM transfer_steps s JOIN transfers t ON t.id = s.transfer_id
    WHERE s.wallet_id = :wallet_id AND s.transfer_id = ANY(CAST(:ids AS uuid[])) AND t.status NOT IN ('pending', 'manual_review')
    ORDER BY s.transfer_id, s.number
    """  # noqa: S608 - names are ours
)
_STATE_COLUMNS = "step_id, state, op, amount, currency, wallet_txn_id"
_STATES = f"SELECT {_STATE_COLUMNS} FROM feed_states f WHERE wallet_id = :wallet_id"  # noqa: S608 - names are ours
_SAME_ORDER = """
    s.transfer_id = f.transfer_id AND s.kind = ANY(
        CASE f.leg WHEN 'credit' THEN ARRAY['credit'] WHEN 'refund' THEN ARRAY['refund']
            ELSE ARRAY['hold', 'debit', 'commit', 'release'] END)
"""
# An order that this gateway gave to this wallet system is known, whoever's it is: tenants may share one, and its feed shows
# them all. One that it gave to another system is not: ids of ours hide no movement that we did not ask for here.
_NOT_THIS_WALLETS = text(
    f"""
    SELECT {_STATE_COLUMNS}, {_HERE}, ARRAY(
        SELECT DISTINCT s.endpoint ->> 'base_url' FROM transfer_steps s WHERE {_SAME_ORDER}
    ) AS given_at
    FROM feed_states f
    WHERE wallet_id = :wallet_id AND read_at >= :from_at AND seq > :after_seq AND state IN ('held', 'committed')
      AND step_id > :after
      AND NOT EXISTS (SELECT FROM transfer_steps s WHERE s.wallet_id = f.wallet_id AND {_SAME_ORDER})
    ORDER BY step_id LIMIT :limit
    """  # noqa: S608 - names are ours
)


async def position_of(session: AsyncSession, *, wallet_id: UUID) -> Position:
    """Return how far a wallet's feed was read."""
    statement = text("SELECT seq, step_id, state, baseline_seq FROM feed_positions WHERE wallet_id = :wallet_id")
    row = (await session.execute(statement, {"wallet_id": wallet_id})).one_or_none()
    return Position() if row is None else Position(**row._mapping)


async def strangers_of(session: AsyncSession, *, wallet_id: UUID) -> int:
    """Return how many orders of a wallet are kept that this gateway never gave."""
    statement = text("SELECT strangers FROM feed_positions WHERE wallet_id = :wallet_id")
    return int(await session.scalar(statement, {"wallet_id": wallet_id}) or 0)


async def store(
    session: AsyncSession,
    *,
    wallet_id: UUID,
    before: Position,
    reached: Position,
    entries: Sequence[TransferAnswer],
) -> int | None:
    """Keep the entries between two positions; None, and nothing, where somebody else has moved on from ``before``.

    Returns how many orders are kept now that this gateway never gave.
    """
    values = {"wallet_id": wallet_id, "seq": reached.seq, "step_id": reached.step_id, "state": reached.state}
    moved = await session.execute(_MOVE_ON, {**values, "before": before.seq})
    if moved.rowcount != 1 and before.seq == 0:  # type: ignore[attr-defined]  # of a cursor result
        moved = await session.execute(_BEGIN, values)
    if moved.rowcount != 1:  # type: ignore[attr-defined]  # of a cursor result
        return None
    newest = {entry.transfer_id: _entry(entry) for entry in entries}
    rows = {"wallet_id": wallet_id, "entries": orjson.dumps(list(newest.values())).decode()}
    return int((await session.execute(_STORE, rows)).scalar_one())


async def transfers_begun(
    session: AsyncSession, *, wallet_id: UUID, from_at: datetime, to_at: datetime, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Return transfers with steps at a wallet that began in the time, in the order of their ids."""
    values = {"wallet_id": wallet_id, "from_at": from_at, "to_at": to_at, "after": after, "limit": limit}
    return list((await session.execute(_TRANSFERS, values)).scalars())


async def our_orders(session: AsyncSession, *, wallet_id: UUID, transfer_ids: Sequence[UUID]) -> Sequence[OurOrder]:
    """Return the orders at a wallet of those of these transfers that have ended."""
    values = {"wallet_id": wallet_id, "ids": list(transfer_ids)}
    steps: dict[tuple[UUID, Leg], list[OurStep]] = defaultdict(list)
    about: dict[tuple[UUID, Leg], Any] = {}
    for row in await session.execute(_STEPS, values):
        about[row.transfer_id, leg_of_kind(row.kind)] = row
        applied = None if row.outcome is None else row.outcome == "applied"
        step = OurStep(kind=StepKind(row.kind), applied=applied)
        steps[row.transfer_id, leg_of_kind(row.kind)].append(step)
    return [
        OurOrder(
            transfer_id=transfer_id,
            leg=leg,
            amount=about[transfer_id, leg].amount,
            currency=about[transfer_id, leg].currency,
            steps=made,
            ended_at=about[transfer_id, leg].ended_at,
            decision=about[transfer_id, leg].decision,
            is_here=canonical(about[transfer_id, leg].given_at) == canonical(about[transfer_id, leg].here),
        )
        for (transfer_id, leg), made in steps.items()
    ]


async def their_orders(session: AsyncSession, *, wallet_id: UUID, step_ids: Sequence[str]) -> dict[str, TheirOrder]:
    """Return what the feed said of these orders."""
    statement = text(_STATES + " AND step_id = ANY(CAST(:step_ids AS text[]))")
    rows = await session.execute(statement, {"wallet_id": wallet_id, "step_ids": list(step_ids)})
    return {row.step_id: TheirOrder(**row._mapping) for row in rows}


async def unknown_orders(
    session: AsyncSession, *, wallet_id: UUID, from_at: datetime, after_seq: int, after: str, limit: int
) -> tuple[Sequence[TheirOrder], str | None]:
    """Return orders that moved or hold money at the wallet and that we never gave, and after which id there are more (or None).

    Read at or after a moment, with a last change after a place in the feed.
    """
    values = {"wallet_id": wallet_id, "from_at": from_at, "after_seq": after_seq, "after": after, "limit": limit}
    rows = (await session.execute(_NOT_THIS_WALLETS, values)).all()
    unknown = [
        TheirOrder(**{name: row._mapping[name] for name in TheirOrder.__dataclass_fields__})
        for row in rows
        if canonical(row.here) not in {canonical(address) for address in row.given_at}
    ]
    return unknown, rows[-1].step_id if len(rows) == limit else None


def _entry(entry: TransferAnswer) -> dict[str, Any]:
    ours = parse_order_id(entry.transfer_id)
    return {
        "step_id": entry.transfer_id,
        "transfer_id": None if ours is None else str(ours[0]),
        "leg": None if ours is None else ours[1],
        "seq": entry.seq,
        "state": entry.state,
        "op": entry.op,
        "amount": None if entry.amount is None else format(entry.amount, "f"),
        "currency": entry.currency,
        "wallet_txn_id": entry.wallet_txn_id,
    }
