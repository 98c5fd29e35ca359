"""Feeds without an end: a run, and what is kept of a wallet, have a limit, and reaching it is a break."""

from typing import Any

import pytest

from shared import typeids
from support.reconciliation_books import Books
from support.transfer_bench import OWNER, Place
from wallet_gateway.reconciliation import feed


async def _with_entries(books: Books, monkeypatch: pytest.MonkeyPatch, count: int) -> Place:
    """Return a wallet with so many entries that we never asked for; a page brings two that are new."""
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 3)
    partner = await books.bench.connect()
    for number in range(count):
        await partner.system.caller.put(f"theirs-{number:02}", owner_ref=OWNER, op="credit", amount="1.00")
    return partner


def _codes(run: dict[str, Any]) -> list[Any]:
    return [(found["kind"], (found["theirs"] or {}).get("code")) for found in run["breaks"]]


async def _position(books: Books, place: Place) -> Any:
    (position,) = await books.bench.service.rows("SELECT * FROM feed_positions WHERE wallet_id = :id", id=place.id)
    return position


async def test_a_feed_that_does_not_end_is_a_break(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with it, published once; the next goes on from there, so that a big honest wallet is read to its end."""
    monkeypatch.setattr(feed, "ENTRIES_A_RUN", 4)
    partner = await _with_entries(books, monkeypatch, 10)
    since = {"from": "2026-01-01T00:00:00Z"}
    first = await books.reconcile(partner, **since)
    assert (first["status"], _codes(first)) == ("breaks", [("feed_unreadable", "feed_too_long")])
    assert (await _position(books, partner)).seq < 10
    (event,) = await books.events(partner)
    assert event["data"]["theirs"] == {"code": "feed_too_long"}
    second = await books.reconcile(partner, **since)
    assert second["breaks"] == first["breaks"]
    third = await books.reconcile(partner, **since)
    assert [found["step_id"] for found in third["breaks"]] == [f"theirs-{number:02}" for number in range(10)]


async def test_what_was_not_compared_is_not_clean_when_its_break_was_resolved(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run that gets nowhere shows it again."""
    monkeypatch.setattr(feed, "ENTRIES_A_RUN", 2)
    partner = await _with_entries(books, monkeypatch, 9)
    since = {"from": "2026-01-01T00:00:00Z"}
    run = await books.reconcile(partner, **since)
    path = f"/v1/reconciliations/{run['id']}/breaks/{run['breaks'][0]['id']}/resolve"
    assert (await books.bench.tenant.owner.post(path, json={"evidence": "known"})).status_code == 200
    again = await books.reconcile(partner, **since)
    assert (again["status"], _codes(again)) == ("breaks", [("feed_unreadable", "feed_too_long")])


async def test_a_run_that_reads_for_hours_ends(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few entries a slow wallet has brought."""
    monkeypatch.setattr("wallet_gateway.reconciliation.reading.PAGES_A_TURN", 1)
    partner = await _with_entries(books, monkeypatch, 6)
    begun = await books.start(partner)
    await books.bench.service.rows(
        "UPDATE reconciliations SET created_at = created_at - interval '7 hours' WHERE id = :id",
        id=typeids.decode("rec", begun["id"]),
    )
    assert await books.reconciler.work_once()
    assert _codes(await books.shown(begun["id"])) == [("feed_unreadable", "feed_too_long")]


async def test_an_honest_history_that_takes_several_runs_is_not_held_against_the_wallet(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in the feed before the first scheduled look that came to its end is let pass."""
    monkeypatch.setattr(feed, "ENTRIES_A_RUN", 4)
    partner = await _with_entries(books, monkeypatch, 10)
    await books.bench.tenant.owner.post(f"/v1/external-wallets/{partner.wallet}/test-connection")
    for status in ("breaks", "breaks", "clean"):
        run = (await books.scheduled(partner))[0]
        assert run["status"] == status, await books.shown(run["id"])
    position = await _position(books, partner)
    assert (position.seq, position.baseline_seq) == (10, 10)


async def test_no_more_is_kept_of_a_wallet_than_a_limit(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of orders that we never gave; ours do not count, nor does another state of one that is kept."""
    home = await books.bench.connect(home=True)
    monkeypatch.setattr(feed, "STRANGERS_MAX", 6)
    partner = await _with_entries(books, monkeypatch, 0)
    for _ in range(4):
        await books.bench.move(home, partner)
    await partner.system.caller.put("their-hold", owner_ref=OWNER, mode="hold", amount="5.00")
    assert (await books.reconcile(partner))["status"] == "breaks"
    await partner.system.caller.cancel("their-hold")
    await books.reconcile(partner)
    assert (await _position(books, partner)).strangers == 1
    for number in range(20):
        await partner.system.caller.put(f"theirs-{number:02}", owner_ref=OWNER, op="credit", amount="1.00")
    for _ in range(3):
        run = await books.reconcile(partner)
        assert ("feed_unreadable", "too_many_unknown") in _codes(run)
    kept = await books.bench.service.rows("SELECT FROM feed_states WHERE wallet_id = :id", id=partner.id)
    assert len(kept) <= 4 + 6 + feed.PAGE_ENTRIES
