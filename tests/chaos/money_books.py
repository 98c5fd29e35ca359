"""What is written about money, read from the gateway's database and the wallets', and judged by the invariants of proofs.md."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import asyncpg

from shared import typeids
from support.stack import StackProcess
from wallet_gateway.transfers.plan import StepKind, order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A transfer as the gateway tells it."""

    id: str
    status: str
    amount: Decimal
    shape: str | None
    due: bool
    orders: Mapping[str, str]
    """The wallets' ids of its debit, credit and refund."""


@dataclass(slots=True, kw_only=True)
class Books:
    """Everything, at one moment at which nothing moves."""

    transfers: Sequence[Told] = ()
    effects: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    """By the wallets' id: how each changed a ledger."""
    ledgers: dict[str, Decimal] = field(default_factory=dict)
    """By wallet system: what is in all its accounts."""
    started_with: dict[str, Decimal] = field(default_factory=dict)
    available_min: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    clearing: Decimal = Decimal(0)
    postings: dict[str, frozenset[str]] = field(default_factory=dict)

    def statuses(self) -> Counter[str]:
        """Count what became of the transfers."""
        return Counter(transfer.status for transfer in self.transfers)


_MOVED = {"completed": ("debit", "credit"), "failed": (), "reversed": ("debit", "refund")}


def judge(books: Books) -> list[str]:
    """Return what is wrong: an empty list if invariants 1 to 5 hold (6 is held by the database itself, and tested there).

    For a moment at which nothing moves: each transfer has ended, or waits for its time.
    """
    wrong = []
    change = sum(books.ledgers.values()) - sum(books.started_with.values())
    if change + books.clearing != 0:
        wrong.append(f"(1) money: the wallets have {change} more, and {books.clearing} is being cleared")
    for system, ledger in books.ledgers.items():
        effects = sum((sum(found) for key, found in books.effects.items() if key.startswith(f"{system}/")), Decimal(0))
        if ledger != books.started_with[system] + effects:
            wrong.append(f"(1) {system} has {ledger}, and its feed says {books.started_with[system] + effects}")
    if books.held != 0 and not books.statuses().keys() & {"pending", "manual_review"}:
        wrong.append(f"(3) every transfer has ended, and {books.held} is still held")
    for transfer in books.transfers:
        wrong += _judge_transfer(books, transfer)
    return wrong + judge_on_the_way(books)


def judge_on_the_way(books: Books) -> list[str]:
    """Return what is wrong at any moment, also while money moves: 2, 4 and 5, of which no later moment makes good.

    The books must have the transfers that were read after the wallets.
    """
    wrong = [f"(2) {key} has had {len(found)} effects" for key, found in books.effects.items() if len(found) > 1]
    if books.available_min < 0:
        wrong.append(f"(4) an available balance is {books.available_min}")
    wrong += [
        f"(5) {transfer.id} is pending, and nobody will look at it"
        for transfer in books.transfers
        if transfer.status == "pending" and not transfer.due
    ]
    known = {order for transfer in books.transfers for order in transfer.orders.values()}
    wrong += [f"(2) {key} is known to the wallet alone" for key in books.effects if key.partition("/")[2] not in known]
    return wrong


def _judge_transfer(books: Books, transfer: Told) -> list[str]:
    if transfer.status in {"pending", "manual_review"}:
        return []
    by_order = {key.partition("/")[2]: sum(found, Decimal(0)) for key, found in books.effects.items()}
    wrong = []
    for movement, order in transfer.orders.items():
        sign = -1 if movement == "debit" else 1
        expected = sign * transfer.amount if movement in _MOVED[transfer.status] else Decimal(0)
        if by_order.get(order, Decimal(0)) != expected:
            wrong.append(f"(3) {transfer.id} is {transfer.status}, and its {movement} moved {by_order.get(order, 0)}")
    if books.postings.get(transfer.id, frozenset()) != frozenset(_MOVED[transfer.status]):
        wrong.append(
            f"(3) {transfer.id} is {transfer.status}, and posted {sorted(books.postings.get(transfer.id, ()))}"
        )
    return wrong


async def read_books(stack: StackProcess, *, system: str, started_with: Mapping[str, Decimal]) -> Books:
    """Read everything about one wallet system's name at both wallets, and every transfer."""
    databases = stack.info()["databases"]
    books = Books(started_with=dict(started_with))
    for service in ("home-wallet", "reference-wallet"):
        await _read_wallet(books, databases[service], system=system, service=service)
    connection = await asyncpg.connect(databases["wallet-gateway"])
    try:
        rows = await connection.fetch("SELECT id, status, amount, shape, due_at IS NOT NULL AS due FROM transfers")
        books.transfers = [_told(row) for row in rows]
        books.clearing = await connection.fetchval(
            "SELECT coalesce(sum(amount), 0) FROM journal_entries WHERE account = 'clearing'"
        )
        posted = await connection.fetch(
            "SELECT transfer_id, array_agg(movement) AS all FROM journal GROUP BY transfer_id"
        )
        books.postings = {typeids.encode("tr", row["transfer_id"]): frozenset(row["all"]) for row in posted}
    finally:
        await connection.close()
    return books


def _told(row: asyncpg.Record) -> Told:
    kinds = {"debit": StepKind.DEBIT, "credit": StepKind.CREDIT, "refund": StepKind.REFUND}
    return Told(
        id=typeids.encode("tr", row["id"]),
        status=row["status"],
        amount=row["amount"],
        shape=row["shape"],
        due=row["due"],
        orders={movement: order_id(row["id"], kind) for movement, kind in kinds.items()},
    )


async def _read_wallet(books: Books, database_url: str, *, system: str, service: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        feed = await connection.fetch(
            "SELECT transfer_id, ledger_delta FROM feed JOIN systems s ON s.id = system_id"
            " WHERE s.name = $1 AND ledger_delta <> 0 ORDER BY seq",
            system,
        )
        for row in feed:
            books.effects[f"{service}/{row['transfer_id']}"].append(row["ledger_delta"])
        found = await connection.fetchrow(
            "SELECT coalesce(sum(ledger), 0) AS ledger, coalesce(min(ledger - held), 0) AS available,"
            " coalesce(sum(held), 0) AS held FROM wallets w JOIN systems s ON s.id = w.system_id WHERE s.name = $1",
            system,
        )
        books.ledgers[service] = found["ledger"]
        books.available_min = min(books.available_min, found["available"])
        books.held += found["held"]
    finally:
        await connection.close()
