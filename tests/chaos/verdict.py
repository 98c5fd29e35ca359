"""What must hold after a chaos run, judged from three independent books: the publishers', the database's, the receiver's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import asyncpg

from chaos.faults import Happened
from chaos.load import DESTINATIONS, Load, event, owed
from shared import typeids
from support.receiver_process import ReceiverProcess
from support.stack import StackProcess

SLOTS_PER_WORKER = 500
_LEDGER_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database holds at the end, and what the receiver got."""

    events: dict[str, int]
    """Deliveries owed, by event id."""
    reports: int
    """Operational events, such as that a webhook fails: published by the dispatcher itself, and wanted by none here."""
    history: dict[str, dict[str, str]]
    """Final status by destination and event id."""
    outstanding: int
    unknown: set[tuple[str, str]]
    """Destination and event id of each delivery that had an attempt of unknown outcome."""
    unknown_attempts: int
    attempts: int
    ledger: dict[str, Any]
    accepted: dict[str, dict[str, int]]
    counts: dict[str, int]


async def read_books(stack: StackProcess, receiver: ReceiverProcess, load: Load) -> Books:
    """Read everything once nothing moves any more."""
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    names = {typeids.decode("wh", text): name for text, name in load.webhook_ids.items()}
    try:
        events = await database.fetch("SELECT event_id, type, matched FROM events")
        history = await database.fetch(
            "SELECT h.webhook_id, e.event_id, h.status FROM delivery_history h JOIN events e ON e.id = h.event"
        )
        unknown = await database.fetch(
            "SELECT h.webhook_id, e.event_id FROM attempts a JOIN delivery_history h ON h.id = a.delivery_id"
            " JOIN events e ON e.id = h.event WHERE a.outcome = 'unknown'"
        )
        outstanding = await database.fetchval("SELECT count(*) FROM deliveries")
        attempts = await database.fetchval("SELECT count(*) FROM attempts")
    finally:
        await database.close()
    by_destination: dict[str, dict[str, str]] = {item.name: {} for item in DESTINATIONS}
    for row in history:
        known = by_destination[names[row["webhook_id"]]]
        assert row["event_id"] not in known, f"two deliveries of {row['event_id']} to one webhook"
        known[row["event_id"]] = row["status"]
    return Books(
        events={row["event_id"]: row["matched"] for row in events if not row["type"].startswith("webhook.")},
        reports=sum(row["type"].startswith("webhook.") for row in events),
        history=by_destination,
        outstanding=outstanding,
        unknown={(names[row["webhook_id"]], row["event_id"]) for row in unknown},
        unknown_attempts=len(unknown),
        attempts=attempts,
        ledger=await _ledger(stack),
        accepted=await receiver.accepted(),
        counts=await receiver.counts(),
    )


async def _ledger(stack: StackProcess) -> dict[str, Any]:
    """Ask the API; the first questions after a restart of the database meet connections that it closed."""
    async with stack.client("webhook-dispatcher", "owner") as owner:
        for _ in range(_LEDGER_TRIES):
            answer = await owner.get("/v1/ledger")
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
    ledger: dict[str, Any] = answer.raise_for_status().json()
    return ledger


def judge(load: Load, books: Books, happened: Sequence[Happened]) -> None:
    """Fail unless nothing accepted was lost and nothing was doubled but what was in flight."""
    everything = {event(number, load.run)["id"]: event(number, load.run) for number in range(load.total)}
    assert set(books.events) == set(everything), "every event is accepted in the end, and no other"
    assert load.published.over_http <= set(books.events), "answered 2xx over HTTP, and not in the database"

    for destination in DESTINATIONS:
        delivered = books.history[destination.name]
        assert set(delivered.values()) == {"delivered"}
        ids, one_of = owed(destination, everything.values())
        if destination.trigger == "every":
            assert set(delivered) == ids
        else:
            assert len(delivered) == len(one_of)
            assert all(len(group & set(delivered)) == 1 for group in one_of.values())
        assert set(books.accepted[destination.name]) == set(delivered), "the receiver and the history disagree"

    total = sum(len(delivered) for delivered in books.history.values())
    assert books.outstanding == 0
    assert sum(books.events.values()) == total, "what is owed is what was made"
    assert books.ledger["balanced"]
    accepted = books.ledger["accepted"] - books.reports
    assert (accepted, books.ledger["matched"], books.ledger["delivered"]) == (load.total, total, total)

    clock_moved = any(item.clock_moved for item in happened)
    assert books.counts["unverified"] == 0 or clock_moved
    again = {(name, event_id) for name, ids in books.accepted.items() for event_id, times in ids.items() if times > 1}
    assert again <= books.unknown, "delivered twice without having been in flight at a fault"
    assert books.counts["again"] <= books.unknown_attempts
    assert books.unknown_attempts <= SLOTS_PER_WORKER * sum(item.workers_cut_off for item in happened)


def figures(load: Load, books: Books, happened: Sequence[Happened], *, started_at: float) -> dict[str, Any]:
    """Return the line of the closing table."""
    return {
        "fault": ", ".join(item.name for item in happened),
        "events": load.total,
        "over http": len(load.published.over_http),
        "to stream": len(load.published.to_stream),
        "sent again": load.published.sent_again,
        "longest wait of a publisher (s)": round(load.published.waited_seconds_max, 2),
        "recognised by id": load.published.recognised,
        "lost unread": sum(len(item.lost_unread) for item in happened),
        "deliveries": books.ledger["delivered"],
        "attempts": books.attempts,
        "failed on purpose": books.counts["refused"],
        "unknown": books.unknown_attempts,
        "operational events": books.reports,
        "duplicates": books.counts["again"],
        "balanced": books.ledger["balanced"],
        "seconds": round(time.monotonic() - started_at, 1),
    }
