"""All SQL of transfers and the feed.

Locks are taken in one order, so that nothing deadlocks: the transfer, its wallet, and last the system's counter. The counter
stays locked until the commit: that is what makes ``seq`` rise by exactly one in the order of commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Numeric, Text

from reference_wallet.transfers.answers import answer_of, shown_amount
from reference_wallet.transfers.rules import Change, Order, Transfer, Wallet

_ORDER = "op, mode, wallet_id, owner_ref, amount, currency, not_after, reference"
_COLUMNS = (
    f"""transfer_id, {_ORDER}, state, error_code, error_detail, wallet_txn_id, balance_after, hold_expires_at, seq"""
)

_CLAIM = text(f"""
INSERT INTO transfers (system_id, transfer_id, {_ORDER}, state)
VALUES (:system_id, :transfer_id, :op, :mode, :wallet_id, :owner_ref, :amount, :currency, :not_after, :reference, 'new')
ON CONFLICT DO NOTHING RETURNING true
""").bindparams(  # noqa: S608 - the names are this module's
    *(bindparam(name, type_=Text) for name in ("op", "mode", "wallet_id", "owner_ref", "currency", "reference")),
    bindparam("amount", type_=Numeric),
)
_FIND = f"SELECT {_COLUMNS} FROM transfers WHERE system_id = :system_id AND transfer_id = :transfer_id"  # noqa: S608 - as above
_FIND_PLAIN, _FIND_LOCKED = text(_FIND), text(f"{_FIND} FOR UPDATE")
_LOCK_WALLET = text("""
SELECT wallet_id, owner_ref, currency, scale, ledger, held, frozen, transfer_max FROM wallets
WHERE system_id = :system_id AND wallet_id = :wallet_id FOR UPDATE
""")
_APPLY = text("""
WITH money AS (
    UPDATE wallets SET ledger = ledger + :ledger_delta, held = held + :held_delta, version = version + 1
    WHERE system_id = :system_id AND wallet_id = :wallet_id AND (:ledger_delta <> 0 OR :held_delta <> 0)
), counter AS (
    UPDATE systems SET latest_seq = latest_seq + 1 WHERE id = :system_id RETURNING latest_seq
), entry AS (
    INSERT INTO feed (system_id, seq, transfer_id, answer, wallet_id, ledger_delta, held_delta)
    SELECT :system_id, latest_seq, :transfer_id, :answer, :wallet_id, :ledger_delta, :held_delta FROM counter
)
UPDATE transfers SET state = :state, error_code = :error_code, error_detail = :error_detail, wallet_txn_id = :wallet_txn_id,
    balance_after = :balance_after, hold_expires_at = :hold_expires_at, seq = counter.latest_seq
FROM counter WHERE system_id = :system_id AND transfer_id = :transfer_id RETURNING seq
""").bindparams(
    *(bindparam(name, type_=Numeric) for name in ("ledger_delta", "held_delta")),
    *(
        bindparam(name, type_=Text)
        for name in ("wallet_id", "error_code", "error_detail", "wallet_txn_id", "balance_after")
    ),
    bindparam("answer", type_=JSON),
)
_DUE = text(f"""
SELECT system_id, {_COLUMNS} FROM transfers
WHERE state = 'held' AND hold_expires_at <= :now AND (CAST(:system_id AS uuid) IS NULL OR system_id = :system_id)
ORDER BY hold_expires_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - as above
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
    transfer: Transfer


async def claim(connection: AsyncConnection, *, system_id: UUID, transfer_id: str, order: Order | None) -> bool:
    """Make the id known, with its content or as a tombstone, and lock it; False if it is known already.

    Waits for a transaction that is just making the same id known.
    """
    content = dict.fromkeys(_ORDER.split(", ")) if order is None else _content(order)
    claimed = await connection.execute(_CLAIM, {"system_id": system_id, "transfer_id": transfer_id, **content})
    return claimed.first() is not None


async def find(connection: AsyncConnection, *, system_id: UUID, transfer_id: str, lock: bool) -> Transfer | None:
    """Return a transfer of the system, locked until the end of the transaction if asked for."""
    statement = _FIND_LOCKED if lock else _FIND_PLAIN
    row = (await connection.execute(statement, {"system_id": system_id, "transfer_id": transfer_id})).one_or_none()
    return None if row is None else _transfer(row)


async def lock_wallet(connection: AsyncConnection, *, system_id: UUID, wallet_id: str) -> Wallet | None:
    """Return a wallet of the system as it is now; nobody else moves its money until the end of the transaction."""
    row = (await connection.execute(_LOCK_WALLET, {"system_id": system_id, "wallet_id": wallet_id})).one_or_none()
    return None if row is None else Wallet(**row._mapping)


async def apply(
    connection: AsyncConnection,
    change: Change,
    *,
    system_id: UUID,
    transfer_id: str,
    order: Order | None,
    wallet: Wallet | None,
) -> Transfer:
    """Write a change: the balance, the transfer's state and the feed's entry, all or nothing; returns the transfer after it."""
    after = Transfer(
        transfer_id=transfer_id,
        order=order,
        state=change.state,
        error_code=change.error_code,
        error_detail=change.error_detail,
        wallet_txn_id=change.wallet_txn_id,
        balance_after=_balance_after(change, wallet),
        hold_expires_at=change.hold_expires_at,
        seq=0,
    )
    values = {
        **{name: getattr(after, name) for name in ("transfer_id", "state", "error_code", "error_detail")},
        **{name: getattr(after, name) for name in ("wallet_txn_id", "balance_after", "hold_expires_at")},
        "system_id": system_id,
        "wallet_id": wallet.wallet_id if wallet is not None else None,
        "ledger_delta": change.ledger_delta,
        "held_delta": change.held_delta,
        "answer": answer_of(after),
    }
    return replace(after, seq=(await connection.execute(_APPLY, values)).scalar_one())


async def lock_due(connection: AsyncConnection, *, system_id: UUID | None, now: datetime) -> Due | None:
    """Return a transfer whose hold's time is up, of one system or of any, that nobody else is busy with."""
    row = (await connection.execute(_DUE, {"system_id": system_id, "now": now})).one_or_none()
    return None if row is None else Due(system_id=row.system_id, transfer=_transfer(row))


async def feed_page(connection: AsyncConnection, *, system_id: UUID, after_seq: int, limit: int) -> FeedPage:
    """Return up to ``limit`` entries behind ``after_seq``; beyond the end there are none, and ``latest_seq`` is still true."""
    values = {"system_id": system_id, "after_seq": after_seq, "limit": limit}
    rows = (await connection.execute(_FEED, values)).all()
    entries = [{**row.answer, "seq": row.seq} for row in rows if row.seq is not None]
    return FeedPage(entries=entries, latest_seq=rows[0].latest_seq)


def _content(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in _ORDER.split(", ")}


def _balance_after(change: Change, wallet: Wallet | None) -> str | None:
    if change.state != "committed" or wallet is None:
        return None
    return shown_amount(wallet.ledger + change.ledger_delta, wallet.scale)


def _transfer(row: Row[Any]) -> Transfer:
    order = None
    if row.op is not None:
        values = {name: getattr(row, name) for name in _ORDER.split(", ")}
        order = Order(**{**values, "amount": Decimal(row.amount)})
    names = (
        "transfer_id",
        "state",
        "error_code",
        "error_detail",
        "wallet_txn_id",
        "balance_after",
        "hold_expires_at",
        "seq",
    )
    return Transfer(order=order, **{name: getattr(row, name) for name in names})
