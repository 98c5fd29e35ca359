"""All SQL of transfers and the feed.

Locks are taken in one order, so that nothing deadlocks: the system, then wallets. The system stays locked until the commit:
that is what makes ``seq`` rise by exactly one in the order of commits. Against references to it it is not locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from reference_wallet.transfers.answers import answer_of
from reference_wallet.transfers.batch import Wanted, Written
from reference_wallet.transfers.rules import Order, Transfer, Wallet

_ORDER = "op, mode, wallet_id, owner_ref, amount, currency, not_after, reference"
_ORDER_NAMES = tuple(_ORDER.split(", "))
_STATE_NAMES = (
    *("transfer_id", "state", "error_code", "error_detail"),
    *("wallet_txn_id", "balance_after", "hold_expires_at", "seq"),
)
_COLUMNS = f"{', '.join(_STATE_NAMES)}, {_ORDER}"

_FIND = text(f"SELECT {_COLUMNS} FROM transfers WHERE system_id = :system_id AND transfer_id = :transfer_id")  # noqa: S608 - the names are this module's
_LOCK_SYSTEM = text("SELECT latest_seq FROM systems WHERE id = :system_id FOR NO KEY UPDATE")
_LOCK_WANTED = text(f"""
SELECT t.*, w.* FROM unnest(:transfer_ids, :wallet_ids) AS wanted (transfer_id, wallet_id)
LEFT JOIN LATERAL (
    SELECT {_COLUMNS} FROM transfers WHERE system_id = :system_id AND transfers.transfer_id = wanted.transfer_id
) AS t ON true
LEFT JOIN LATERAL (
    SELECT wallet_id AS w_wallet_id, owner_ref AS w_owner_ref, currency AS w_currency, scale AS w_scale,
        ledger AS w_ledger, held AS w_held, frozen AS w_frozen, transfer_max AS w_transfer_max FROM wallets
    WHERE system_id = :system_id AND wallets.wallet_id = coalesce(t.wallet_id, wanted.wallet_id)
    FOR UPDATE
) AS w ON true
""").bindparams(  # noqa: S608 - as above
    *(bindparam(name, type_=ARRAY(Text)) for name in ("transfer_ids", "wallet_ids"))
)
_APPLY = text(f"""
WITH written AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(CAST(:written AS text) AS jsonb)) AS written (
        transfer_id text, op text, mode text, wallet_id text, owner_ref text, amount numeric, currency text,
        not_after timestamptz, reference text, state text, error_code text, error_detail text, wallet_txn_id text,
        balance_after text, hold_expires_at timestamptz, seq bigint, is_last boolean, moved_wallet_id text,
        ledger_delta numeric, held_delta numeric, answer text)
), counter AS (
    UPDATE systems SET latest_seq = :latest_seq WHERE id = :system_id
), money AS (
    UPDATE wallets w SET ledger = w.ledger + moved.ledger_delta, held = w.held + moved.held_delta,
        version = w.version + moved.times
    FROM (
        SELECT moved_wallet_id, sum(ledger_delta) AS ledger_delta, sum(held_delta) AS held_delta, count(*) AS times
        FROM written WHERE ledger_delta <> 0 OR held_delta <> 0 GROUP BY moved_wallet_id
    ) AS moved
    WHERE w.system_id = :system_id AND w.wallet_id = moved.moved_wallet_id
), entries AS (
    INSERT INTO feed (system_id, seq, transfer_id, answer, wallet_id, ledger_delta, held_delta)
    SELECT :system_id, seq, transfer_id, CAST(answer AS json), moved_wallet_id, ledger_delta, held_delta FROM written
)
INSERT INTO transfers (system_id, {_COLUMNS}) SELECT :system_id, {_COLUMNS} FROM written WHERE is_last
ON CONFLICT (system_id, transfer_id) DO UPDATE SET state = excluded.state, error_code = excluded.error_code,
    error_detail = excluded.error_detail, wallet_txn_id = excluded.wallet_txn_id, balance_after = excluded.balance_after,
    hold_expires_at = excluded.hold_expires_at, seq = excluded.seq
""")  # noqa: S608 - as above
_DUE = text("""
SELECT system_id, transfer_id FROM transfers
WHERE state = 'held' AND hold_expires_at <= :now AND (CAST(:system_id AS uuid) IS NULL OR system_id = :system_id)
ORDER BY hold_expires_at LIMIT 100
""")
_FEED = text("""
SELECT systems.latest_seq, feed.seq, feed.answer FROM systems
LEFT JOIN LATERAL (
    SELECT seq, answer FROM feed WHERE system_id = systems.id AND seq > :after_seq ORDER BY seq LIMIT :limit
) AS feed ON true
WHERE systems.id = :system_id ORDER BY feed.seq
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Entries in the order of ``seq``, each an answer as it was then, and where the feed ends."""

    entries: Sequence[dict[str, Any]]
    latest_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A transfer whose hold's time is up."""

    system_id: UUID
    transfer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a batch is about, by id; what is not known is not there."""

    transfers: dict[str, Transfer]
    wallets: dict[str, Wallet]


async def lock_system(connection: AsyncConnection, *, system_id: UUID) -> int:
    """Return the newest ``seq``; nothing of the system changes but by this transaction until its end."""
    seq: int = (await connection.execute(_LOCK_SYSTEM, {"system_id": system_id})).scalar_one()
    return seq


async def lock_wanted(connection: AsyncConnection, *, system_id: UUID, wanted: Sequence[Wanted]) -> Found:
    """Return what is known of the transfers, and their wallets; nobody changes those until the end of the transaction."""
    values = {
        "system_id": system_id,
        "transfer_ids": [item.transfer_id for item in wanted],
        "wallet_ids": [item.order.wallet_id if item.order is not None else None for item in wanted],
    }
    found = Found(transfers={}, wallets={})
    for row in await connection.execute(_LOCK_WANTED, values):
        if row.transfer_id is not None:
            found.transfers[row.transfer_id] = _transfer(row)
        if row.w_wallet_id is not None:
            found.wallets[row.w_wallet_id] = _wallet(row)
    return found


async def find(connection: AsyncConnection, *, system_id: UUID, transfer_id: str) -> Transfer | None:
    """Return a transfer of the system."""
    row = (await connection.execute(_FIND, {"system_id": system_id, "transfer_id": transfer_id})).one_or_none()
    return None if row is None else _transfer(row)


async def apply(connection: AsyncConnection, written: Sequence[Written], *, system_id: UUID, latest_seq: int) -> None:
    """Write changes in one statement: balances, the transfers' newest states, the feed's entries, and where it ends."""
    newest = {item.transfer.transfer_id: item.transfer.seq for item in written}
    rows = [_row(item, is_last=newest[item.transfer.transfer_id] == item.transfer.seq) for item in written]
    document = orjson.dumps(rows, default=str).decode()
    await connection.execute(_APPLY, {"written": document, "system_id": system_id, "latest_seq": latest_seq})


async def find_due(connection: AsyncConnection, *, system_id: UUID | None, now: datetime) -> Sequence[Due]:
    """Return transfers whose holds' time is up, of one system or of any, some at a time."""
    rows = await connection.execute(_DUE, {"system_id": system_id, "now": now})
    return [Due(system_id=row.system_id, transfer_id=row.transfer_id) for row in rows]


async def feed_page(connection: AsyncConnection, *, system_id: UUID, after_seq: int, limit: int) -> FeedPage:
    """Return up to ``limit`` entries behind ``after_seq``; beyond the end there are none, and ``latest_seq`` is still true."""
    values = {"system_id": system_id, "after_seq": after_seq, "limit": limit}
    rows = (await connection.execute(_FEED, values)).all()
    entries = [{**row.answer, "seq": row.seq} for row in rows if row.seq is not None]
    return FeedPage(entries=entries, latest_seq=rows[0].latest_seq)


def _row(written: Written, *, is_last: bool) -> dict[str, Any]:
    transfer, change, order = written.transfer, written.change, written.transfer.order
    return {
        **{name: getattr(transfer, name) for name in _STATE_NAMES},
        **({name: getattr(order, name) for name in _ORDER_NAMES} if order is not None else {}),
        "is_last": is_last,
        "moved_wallet_id": written.wallet.wallet_id if written.wallet is not None else None,
        "ledger_delta": change.ledger_delta,
        "held_delta": change.held_delta,
        "answer": orjson.dumps(answer_of(transfer)).decode(),
    }


def _transfer(row: Row[Any]) -> Transfer:
    order = None
    if row.op is not None:
        values = {name: getattr(row, name) for name in _ORDER_NAMES}
        order = Order(**{**values, "amount": Decimal(row.amount)})
    return Transfer(order=order, **{name: getattr(row, name) for name in _STATE_NAMES})


def _wallet(row: Row[Any]) -> Wallet:
    return Wallet(
        wallet_id=row.w_wallet_id,
        owner_ref=row.w_owner_ref,
        currency=row.w_currency,
        scale=row.w_scale,
        ledger=row.w_ledger,
        held=row.w_held,
        frozen=row.w_frozen,
        transfer_max=row.w_transfer_max,
    )
