"""What is written about money, read from the gateway's database and the wallets', and judged by the invariants of proofs.md."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import asyncpg

from chaos.money_crowds import Crowd, Paid, judge_crowd
from chaos.money_wallets import CROWD_ACCOUNTS, CROWD_MONEY, SYSTEMS, System, first_money
from shared import typeids
from support.stack import StackProcess
from wallet_gateway.transfers.plan import StepKind, order_id

Ledger = tuple[str, str]
"""A system's key and a currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One change of a ledger by an order."""

    system: str
    order: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A transfer as the gateway tells it."""

    id: str
    status: str
    amount: Decimal
    currency: str
    due: bool
    decided: bool
    failure: str | None
    """Its code."""
    orders: Mapping[str, str]
    """The wallets' ids of its debit, credit and refund."""


@dataclass(slots=True, kw_only=True)
class Books:
    """Everything, at one moment."""

    transfers: Sequence[Told] = ()
    effects: list[Effect] = field(default_factory=list)
    """In the wallets' feeds."""
    forgotten: list[Effect] = field(default_factory=list)
    """Those that a wallet lost with a restored backup: they were made, and are in no feed."""
    planted: frozenset[str] = frozenset()
    """What wallets did by themselves: nobody's orders, and known to be."""
    by_hand: Mapping[str, str] = field(default_factory=dict)
    """What a clerk ordered under ids of their own, and for which transfer."""
    ledgers: dict[Ledger, Decimal] = field(default_factory=dict)
    started_with: dict[Ledger, Decimal] = field(default_factory=dict)
    available_min: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    clearing: dict[str, Decimal] = field(default_factory=dict)
    postings: dict[str, frozenset[str]] = field(default_factory=dict)
    crowds: Mapping[str, Crowd] = field(default_factory=dict)
    """By transfer."""
    left_to_crowds: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """What is left, by the system's key and the account."""

    def statuses(self) -> Counter[str]:
        """Count what became of the transfers."""
        return Counter(transfer.status for transfer in self.transfers)


_MOVED = {"completed": ("debit", "credit"), "failed": (), "reversed": ("debit", "refund")}


def judge(books: Books) -> list[str]:
    """Return what is wrong: an empty list if invariants 1 to 5 hold (6 is held by the database itself, and tested there).

    For a moment at which nothing moves: each transfer has ended, or waits for its time.
    """
    wrong = _judge_money(books)
    for ledger, amount in books.ledgers.items():
        moved = sum((each.amount for each in books.effects if (each.system, each.currency) == ledger), Decimal(0))
        if amount != books.started_with[ledger] + moved:
            wrong.append(f"(1) {ledger} has {amount}, and its feed says {books.started_with[ledger] + moved}")
    if books.held != 0 and not books.statuses().keys() & {"pending", "manual_review"}:
        wrong.append(f"(3) every transfer has ended, and {books.held} is still held")
    by_order: dict[str, Decimal] = defaultdict(Decimal)
    for each in (*books.effects, *books.forgotten):
        by_order[each.order] += each.amount
    for transfer in books.transfers:
        wrong += _judge_transfer(books, transfer, by_order)
    return wrong + _judge_crowds(books) + judge_on_the_way(books)


def _judge_crowds(books: Books) -> list[str]:
    """Judge each crowd all of whose transfers have ended."""
    outcomes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for transfer in books.transfers:
        if crowd := books.crowds.get(transfer.id):
            is_short = (transfer.status, transfer.failure) == ("failed", "insufficient_funds")
            outcomes[crowd.system.key, crowd.account].append("insufficient_funds" if is_short else transfer.status)
    return [
        f"{wrong} at {place[0]}"
        for place, ended in outcomes.items()
        if not {"pending", "manual_review"} & set(ended)
        for wrong in judge_crowd(
            Paid(account=place[1], outcomes=ended, spent=CROWD_MONEY - books.left_to_crowds[place])
        )
    ]


def _judge_money(books: Books) -> list[str]:
    """Per currency: what the wallets have more, what they forgot and what is being cleared make nothing together."""
    wrong = []
    for currency in sorted({currency for _, currency in books.started_with}):
        change = sum((amount for (_, kept), amount in books.ledgers.items() if kept == currency), Decimal(0))
        change -= sum((amount for (_, kept), amount in books.started_with.items() if kept == currency), Decimal(0))
        change += sum((each.amount for each in books.forgotten if each.currency == currency), Decimal(0))
        change -= sum(
            (each.amount for each in books.effects if each.currency == currency and each.order in books.planted),
            Decimal(0),
        )
        cleared = books.clearing.get(currency, Decimal(0))
        if change + cleared != 0:
            wrong.append(f"(1) money: the wallets have {change} {currency} more, and {cleared} is being cleared")
    return wrong


def judge_on_the_way(books: Books) -> list[str]:
    """Return what is wrong at any moment, also while money moves: 2, 4 and 5, of which no later moment makes good.

    The books must have the transfers that were read after the wallets.
    """
    effects = Counter(each.order for each in (*books.effects, *books.forgotten))
    wrong = [f"(2) {order} has had {count} effects" for order, count in effects.items() if count > 1]
    if books.available_min < 0:
        wrong.append(f"(4) an available balance is {books.available_min}")
    wrong += [
        f"(5) {transfer.id} is pending, and nobody will look at it"
        for transfer in books.transfers
        if transfer.status == "pending" and not transfer.due
    ]
    known = {order for transfer in books.transfers for order in transfer.orders.values()}
    unknown = effects.keys() - known - books.planted - books.by_hand.keys()
    return wrong + [f"(2) {order} is known to the wallet alone" for order in unknown]


def _judge_transfer(books: Books, transfer: Told, by_order: Mapping[str, Decimal]) -> list[str]:
    if transfer.status in {"pending", "manual_review"}:
        return []
    wrong = []
    is_moved = _MOVED[transfer.status]
    expected = {
        movement: (-1 if movement == "debit" else 1) * transfer.amount * (movement in is_moved)
        for movement in transfer.orders
    }
    moved = {movement: by_order.get(order, Decimal(0)) for movement, order in transfer.orders.items()}
    if transfer.decided:
        # A clerk puts right what an open question has left, maybe under an id of their own: the sums must be as decided.
        by_hand = (by_order[order] for order, about in books.by_hand.items() if about == transfer.id)
        moved["refund"] = moved["debit"] + moved["refund"] + sum(by_hand, Decimal(0))
        expected["refund"] = expected["debit"] + expected["refund"]
        moved["debit"] = expected["debit"]
    if moved != expected:
        shown = {movement: str(amount) for movement, amount in moved.items()}
        wrong.append(f"(3) {transfer.id} is {transfer.status}, and moved {shown}")
    posted = books.postings.get(transfer.id, frozenset())
    if posted != frozenset(is_moved):
        wrong.append(f"(3) {transfer.id} is {transfer.status}, and posted {sorted(posted)}")
    return wrong


async def read_books(
    stack: StackProcess,
    *,
    forgotten: Sequence[Effect] = (),
    by_hand: Mapping[str, str] | None = None,
) -> Books:
    """Read everything about every system, and then every transfer."""
    databases = stack.info()["databases"]
    books = Books(forgotten=list(forgotten), by_hand=by_hand or {})
    books.started_with = {(each.key, code): money for each in SYSTEMS for code, money in first_money().items()}
    for service in sorted({system.service for system in SYSTEMS}):
        connection = await asyncpg.connect(databases[service])
        try:
            for system in SYSTEMS:
                if system.service == service:
                    await _read_system(books, connection, system)
        finally:
            await connection.close()
    connection = await asyncpg.connect(databases["wallet-gateway"])
    try:
        await _read_gateway(books, connection)
    finally:
        await connection.close()
    return books


async def read_effects(connection: asyncpg.Connection, system: System, *, after_seq: int = 0) -> list[Effect]:
    """Read what changed a system's ledgers, from its feed."""
    rows = await connection.fetch(
        "SELECT f.transfer_id, f.ledger_delta, w.currency FROM feed f JOIN systems s ON s.id = f.system_id"
        " JOIN wallets w ON w.system_id = f.system_id AND w.wallet_id = f.wallet_id"
        " WHERE s.name = $1 AND f.ledger_delta <> 0 AND f.seq > $2 ORDER BY f.seq",
        system.name,
        after_seq,
    )
    return [
        Effect(system=system.key, order=row["transfer_id"], currency=row["currency"], amount=row["ledger_delta"])
        for row in rows
    ]


async def _read_system(books: Books, connection: asyncpg.Connection, system: System) -> None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        books.effects += await read_effects(connection, system)
        left = await connection.fetch(
            "SELECT wallet_id, ledger FROM wallets w JOIN systems s ON s.id = w.system_id"
            " WHERE s.name = $1 AND wallet_id = ANY($2)",
            system.name,
            list(CROWD_ACCOUNTS),
        )
        rows = await connection.fetch(
            "SELECT currency, sum(ledger) AS ledger, min(ledger - held) AS available, sum(held) AS held"
            " FROM wallets w JOIN systems s ON s.id = w.system_id WHERE s.name = $1 GROUP BY currency",
            system.name,
        )
    books.left_to_crowds |= {(system.key, row["wallet_id"]): row["ledger"] for row in left}
    for row in rows:
        books.ledgers[system.key, row["currency"]] = row["ledger"]
        books.available_min = min(books.available_min, row["available"])
        books.held += row["held"]


async def _read_gateway(books: Books, connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT id, status, amount, currency, due_at IS NOT NULL AS due, decision IS NOT NULL AS decided,"
        " failure_code AS failure FROM transfers"
    )
    books.transfers = [_told(row) for row in rows]
    cleared = await connection.fetch(
        "SELECT currency, sum(amount) AS amount FROM journal_entries WHERE account = 'clearing' GROUP BY currency"
    )
    books.clearing = {row["currency"]: row["amount"] for row in cleared}
    posted = await connection.fetch("SELECT transfer_id, array_agg(movement) AS all FROM journal GROUP BY transfer_id")
    books.postings = {typeids.encode("tr", row["transfer_id"]): frozenset(row["all"]) for row in posted}


def _told(row: asyncpg.Record) -> Told:
    kinds = {"debit": StepKind.DEBIT, "credit": StepKind.CREDIT, "refund": StepKind.REFUND}
    return Told(
        id=typeids.encode("tr", row["id"]),
        status=row["status"],
        amount=row["amount"],
        currency=row["currency"],
        due=row["due"],
        decided=row["decided"],
        failure=row["failure"],
        orders={movement: order_id(row["id"], kind) for movement, kind in kinds.items()},
    )
