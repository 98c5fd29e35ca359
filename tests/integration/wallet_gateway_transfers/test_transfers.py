"""Transfers between real wallets over real sockets, each way, as callers see them."""

from decimal import Decimal

import pytest

from shared import typeids
from support.transfer_bench import OWNER, Bench


async def test_home_to_external_holds_credits_and_commits(bench: Bench) -> None:
    """The amount is held at home while the target is credited, and taken after it."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["failure"], transfer["outcome_unknown"]) == ("completed", None, False)
    assert bench.attempts(transfer) == [
        ("hold", "put", "definitive"),
        ("credit", "put", "definitive"),
        ("commit", "commit", "definitive"),
    ]
    assert (await home.ledger(), await partner.ledger()) == (Decimal("90.00"), Decimal("110.00"))


async def test_external_to_home_takes_the_amount_before_it_credits(bench: Bench) -> None:
    """A hold elsewhere is no guarantee: it is committed first."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(partner, home)
    assert transfer["status"] == "completed"
    assert [step["kind"] for step in transfer["steps"]] == ["hold", "commit", "credit"]
    assert (await home.ledger(), await partner.ledger()) == (Decimal("110.00"), Decimal("90.00"))


async def test_external_to_external(bench: Bench) -> None:
    """Home takes no part in it."""
    first, second = await bench.connect(), await bench.connect()
    transfer = await bench.move(first, second)
    assert transfer["status"] == "completed"
    assert (await first.ledger(), await second.ledger()) == (Decimal("90.00"), Decimal("110.00"))


@pytest.mark.parametrize("home_is_source", [True, False])
async def test_a_wallet_without_holds_is_debited_directly(bench: Bench, *, home_is_source: bool) -> None:
    """Two steps, whichever wallet it is."""
    home = await bench.connect(home=True, system={"holds": not home_is_source})
    partner = await bench.connect(system={"holds": home_is_source})
    source, target = (home, partner) if home_is_source else (partner, home)
    transfer = await bench.move(source, target)
    assert transfer["status"] == "completed"
    assert [step["kind"] for step in transfer["steps"]] == ["debit", "credit"]


async def test_home_with_holds_that_end_is_debited_first(bench: Bench) -> None:
    """Its hold could be gone by the time the target has its money."""
    home, partner = await bench.connect(home=True, system={"hold_seconds": 60}), await bench.connect()
    transfer = await bench.move(home, partner)
    assert transfer["status"] == "completed"
    assert [step["kind"] for step in transfer["steps"]] == ["debit", "credit"]


async def test_a_refused_target_releases_the_hold_and_nothing_has_moved(bench: Bench) -> None:
    """`failed`, with the wallet's own reason."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await partner.system.do("PATCH", "wallets/w1", {"frozen": True})
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_frozen")
    assert [step["kind"] for step in transfer["steps"]] == ["hold", "credit", "release"]
    assert await home.available() == Decimal("100.00")


@pytest.mark.parametrize("holds", [True, False])
async def test_a_refused_target_is_refunded_where_the_debit_was_made(bench: Bench, *, holds: bool) -> None:
    """`reversed`, by a credit under an id of its own."""
    first, second = await bench.connect(system={"holds": holds}), await bench.connect()
    await second.system.do("PATCH", "wallets/w1", {"frozen": True})
    transfer = await bench.move(first, second)
    assert (transfer["status"], transfer["failure"]["code"]) == ("reversed", "wallet_frozen")
    refund = transfer["steps"][-1]
    assert (refund["kind"], refund["id"]) == ("refund", f"{transfer['id']}.refund.1")
    assert await first.available() == Decimal("100.00")


async def test_a_refused_refund_goes_to_a_person(bench: Bench) -> None:
    """The source no longer takes the money back: nobody guesses where it should go."""
    first, second = await bench.connect(system={"holds": False}), await bench.connect()
    await second.system.do("PATCH", "wallets/w1", {"frozen": True})
    await second.system.arm("delay", operations=["put"], when="before", delay_ms=1500)
    transfer_id = await bench.begin(first, second)
    await bench.step_of(transfer_id, "credit")
    await first.system.do("PATCH", "wallets/w1", {"frozen": True})
    transfer = await bench.ended(transfer_id)
    assert (transfer["status"], transfer["failure"]["code"]) == ("manual_review", "refund_refused")


async def test_a_source_that_cannot_pay_fails_before_anything_moves(bench: Bench) -> None:
    """Nothing is asked of the target."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner, amount="100.01")
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "insufficient_funds")
    assert [step["kind"] for step in transfer["steps"]] == ["hold"]


async def test_waiting_brings_the_final_state(bench: Bench) -> None:
    """The answer is the completed transfer, and a repetition is told the same."""
    home, partner = await bench.connect(home=True), await bench.connect()
    first = await bench.post(home, partner, key="k-wait", wait_ms=10_000)
    assert (first.status_code, first.json()["status"]) == (201, "completed")
    again = await bench.post(home, partner, key="k-wait", wait_ms=10_000)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


async def test_waiting_ends_when_the_time_is_over(bench: Bench) -> None:
    """The transfer goes on, and is shown as it began."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await partner.system.arm("delay", when="before", delay_ms=1000)
    answer = await bench.post(home, partner, wait_ms=50)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert (await bench.ended(answer.json()["id"]))["status"] == "completed"


async def test_the_timeline_shows_every_call(bench: Bench) -> None:
    """Steps with their ids and latencies; calls with digests, durations and what was proved by signatures."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner, reference="order-7", metadata={"desk": "3"})
    assert [step["id"] for step in transfer["steps"]] == [
        f"{transfer['id']}.debit.1",
        f"{transfer['id']}.credit.1",
        f"{transfer['id']}.debit.2",
    ]
    assert (transfer["reference"], transfer["metadata"], transfer["owner_ref"]) == ("order-7", {"desk": "3"}, OWNER)
    credit = transfer["steps"][1]
    assert (credit["leg"], credit["wallet"], credit["outcome"]) == ("credit", partner.wallet, "applied")
    assert credit["latency_ms"] > 0
    assert credit["wallet_txn_id"]
    (attempt,) = credit["attempts"]
    assert (attempt["response_status"], attempt["signature_verified"], attempt["wallet_state"]) == (
        200,
        True,
        "committed",
    )
    assert attempt["request_digest"].startswith("sha-256=:")
    assert attempt["response_digest"].startswith("sha-256=:")
    assert 0 < attempt["duration_ms"] < credit["latency_ms"]


async def test_lists_are_narrowed(bench: Bench) -> None:
    """By status, wallet on either side, client, reference and time."""
    home, partner, other = await bench.connect(home=True), await bench.connect(), await bench.connect()
    done = await bench.move(home, partner, reference="r-1")
    failed = await bench.move(partner, other, amount="500.00")

    async def ids(**filters: str) -> list[str]:
        answer = await bench.tenant.owner.get("/v1/transfers", params=filters)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["data"]]

    assert await ids() == [failed["id"], done["id"]]
    assert await ids(status="failed") == [failed["id"]]
    assert await ids(wallet="home") == [done["id"]]
    assert await ids(wallet=other.wallet) == [failed["id"]]
    assert await ids(reference="r-1") == [done["id"]]
    assert await ids(owner_ref="nobody") == []
    assert await ids(**{"from": "2100-01-01T00:00:00Z"}) == []
    assert await ids(to="2100-01-01T00:00:00Z", limit="1") == [failed["id"]]


async def test_events_are_written_with_the_end(bench: Bench) -> None:
    """One for each transfer, with what the dispatcher documents of it."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    (row,) = await bench.service.rows("SELECT body FROM outbox WHERE ordering_key = :id", id=transfer["id"])
    assert b'"type":"transfer.completed"' in row.body
    assert typeids.encode("tr", typeids.decode("tr", transfer["id"])).encode() in row.body
