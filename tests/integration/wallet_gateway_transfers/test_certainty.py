"""How a step whose outcome is unknown becomes certain: GET, the fencing cancel, and never a guess."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from support.engine import until
from support.tcp_relay import TcpRelay, tcp_relay
from support.transfer_bench import OWNER, Bench, Place

SHORT = 2
"""Seconds that a step may take in these tests."""


@asynccontextmanager
async def _behind_relay(bench: Bench, **fields: Any) -> AsyncIterator[tuple[Place, TcpRelay]]:
    """Connect an external wallet behind a relay that can be shut."""
    async with tcp_relay(int(bench.reference.url.rpartition(":")[2])) as relay:
        place = await bench.connect(base_url=f"http://127.0.0.1:{relay.port}", step_seconds=SHORT, **fields)
        yield place, relay


def _order(transfer: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the order of a step, as the gateway sent it and as it may still arrive."""
    (step,) = [step for step in transfer["steps"] if step["kind"] == kind]
    content = {
        "op": "credit" if kind in {"credit", "refund"} else "debit",
        "mode": "hold" if kind == "hold" else "direct",
        "wallet_id": "w1",
        "owner_ref": OWNER,
        "amount": "10.00",
        "currency": "USD",
        "not_after": step["not_after"][:23] + "Z",
    }
    return step["id"], content


@pytest.mark.parametrize("base_url", ["https://nowhere.invalid", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
async def test_what_was_never_sent_fails_and_lets_go_of_what_is_held(bench: Bench, base_url: str) -> None:
    """No such name, refused, and no TLS there: certain without asking."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    port = bench.reference.url.rpartition(":")[2]
    await bench.change(partner, base_url=base_url.format(port=port))
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_unreachable")
    assert {call[2] for call in bench.attempts(transfer) if call[0] == "credit"} == {"not_sent"}
    assert await home.available() == Decimal("100.00")


async def test_a_debit_that_was_made_is_refunded_when_the_target_was_never_reached(bench: Bench) -> None:
    """`reversed`."""
    source, target = await bench.connect(), await bench.connect(step_seconds=SHORT)
    await bench.change(target, base_url="http://127.0.0.1:1")
    transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("reversed", "wallet_unreachable")


async def test_refused_after_a_sent_attempt_stays_unknown(bench: Bench) -> None:
    """The wallet has it and is away: the transfer waits, and completes when the wallet is back."""
    home = await bench.connect(home=True)
    async with _behind_relay(bench) as (partner, relay):
        await partner.system.arm("drop", operations=["put"], when="after")
        await partner.system.arm("delay", operations=["put"], when="before", delay_ms=700)
        transfer_id = await bench.begin(home, partner)
        await bench.attempted(transfer_id, ("credit", "put", "unknown"))
        await relay.shut()
        await bench.attempted(transfer_id, ("credit", "cancel", "not_sent"))
        waiting = await bench.shown(transfer_id)
        assert (waiting["status"], waiting["outcome_unknown"]) == ("pending", True)
        assert await home.available() == Decimal("90.00")
        await relay.open()
        assert (await bench.ended(transfer_id))["status"] == "completed"


async def test_success_after_the_deadline_completes(bench: Bench) -> None:
    """Every answer was lost, and GET says that it was done."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    await partner.system.arm("drop", operations=["put"], count=None)
    transfer = await bench.move(home, partner)
    assert transfer["status"] == "completed"
    assert bench.attempts(transfer)[-2:] == [("credit", "get", "definitive"), ("commit", "commit", "definitive")]


@pytest.mark.parametrize("kind", ["hold", "debit", "credit"])
async def test_what_arrives_after_the_cancel_is_refused(bench: Bench, kind: str) -> None:
    """Nothing arrived in time, GET says "not found", the cancel fences: the late order meets its tombstone."""
    source = await bench.connect(step_seconds=SHORT, system={"holds": kind != "debit"})
    target = await bench.connect(step_seconds=SHORT)
    place = target if kind == "credit" else source
    await place.system.arm("drop", operations=["put"], when="before", count=None)
    transfer_id = await bench.begin(source, target)
    await bench.attempted(transfer_id, (kind, "cancel", "definitive"))
    await place.system.disarm()
    transfer = await bench.ended(transfer_id)
    assert (transfer["status"], transfer["failure"]["code"]) == (
        "reversed" if kind == "credit" else "failed",
        "cancelled",
    )
    calls = [call for call in bench.attempts(transfer) if call[0] == kind]
    assert calls[-2:] == [(kind, "get", "not_found"), (kind, "cancel", "definitive")]
    order_id, content = _order(transfer, kind)
    assert (await place.system.caller.put(order_id, **content))["state"] == "cancelled"


@pytest.mark.parametrize("holds", [True, False])
async def test_a_debit_that_lands_after_not_found_has_one_consistent_outcome(bench: Bench, *, holds: bool) -> None:
    """It lands between GET and cancel: a hold is cancelled and the transfer fails; a debit stands, and the transfer goes on."""
    source = await bench.connect(step_seconds=SHORT, system={"holds": holds})
    target = await bench.connect()
    kind = "hold" if holds else "debit"
    await source.system.arm("drop", operations=["put"], when="before", count=None)
    await source.system.arm("delay", operations=["cancel"], when="before", delay_ms=1500)
    transfer_id = await bench.begin(source, target)
    await bench.attempted(transfer_id, (kind, "get", "not_found"))
    await source.system.do("DELETE", "faults")
    order_id, content = _order(await bench.shown(transfer_id), kind)
    # Our clock is the wallet's: the order is late by now, so it must have been seen in time to count.
    landed = await source.system.caller.put(order_id, **content)
    transfer = await bench.ended(transfer_id)
    assert landed["state"] in {"rejected", "cancelled"}
    assert transfer["status"] == "failed"


async def test_a_hold_that_ends_before_its_commit_credits_nothing(bench: Bench) -> None:
    """Definitive: the wallet says that the hold is gone."""
    source, target = await bench.connect(system={"hold_seconds": 1}), await bench.connect()
    await source.system.arm("delay", operations=["put"], when="after", delay_ms=1300)
    transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "expired")
    assert [step["kind"] for step in transfer["steps"]] == ["hold", "commit"]


async def test_of_a_commit_and_a_cancel_one_wins(bench: Bench) -> None:
    """Somebody at the wallet cancels the hold before our commit: nothing is credited."""
    source, target = await bench.connect(), await bench.connect()
    await source.system.arm("delay", operations=["put"], when="after", delay_ms=800)
    transfer_id = await bench.begin(source, target)
    await bench.step_of(transfer_id, "hold")
    order_id = f"{transfer_id}.debit.1"

    async def is_held() -> bool:
        return (await source.available()) == Decimal("90.00")

    await until(is_held, what="the amount is held")
    assert (await source.system.caller.cancel(order_id))["state"] == "cancelled"
    transfer = await bench.ended(transfer_id)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "cancelled")


async def test_a_commit_that_nobody_answers_is_fenced(bench: Bench) -> None:
    """Before anything is credited a commit may be given up: the hold is cancelled, and nothing has moved."""
    source, target = await bench.connect(step_seconds=SHORT), await bench.connect()
    await source.system.arm("drop", operations=["commit"], when="before", count=None)
    transfer = await bench.move(source, target)
    assert transfer["status"] == "failed"
    assert [call[1:] for call in bench.attempts(transfer) if call[0] == "commit"][-2:] == [
        ("get", "definitive"),
        ("cancel", "definitive"),
    ]
    assert await source.available() == Decimal("100.00")


async def test_a_commit_after_the_credit_is_never_given_up(bench: Bench) -> None:
    """The target has its money: past every deadline it is sent again until it is done."""
    home, partner = await bench.connect(home=True, step_seconds=1), await bench.connect()
    await home.system.arm("drop", operations=["commit"], when="before", count=6)
    transfer = await bench.move(home, partner)
    assert transfer["status"] == "completed"
    calls = [call[1] for call in bench.attempts(transfer) if call[0] == "commit"]
    assert (set(calls), len(calls)) == ({"commit"}, 7)


async def test_a_clock_that_is_wrong_is_refused_and_moves_nothing(bench: Bench) -> None:
    """Ten minutes: our signature is refused, the timeline says so, and nobody guesses."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    await bench.skew(600)
    try:
        transfer_id = await bench.begin(partner, home)
        await bench.attempted(transfer_id, ("hold", "cancel", "unknown"))
        waiting = await bench.shown(transfer_id)
        (step,) = waiting["steps"]
        assert (waiting["status"], waiting["outcome_unknown"]) == ("pending", True)
        assert step["attempts"][0]["code"] == "http_401"
        assert step["attempts"][0]["clock_skew_seconds"] is not None  # as its Date header tells
    finally:
        await bench.skew(0)
    assert (await bench.ended(transfer_id))["status"] == "failed"


async def test_fifty_at_once_never_overdraw(bench: Bench) -> None:
    """Ten can be paid, and ten are."""
    home, partner = await bench.connect(home=True), await bench.connect()
    begun = await asyncio.gather(*(bench.begin(home, partner) for _ in range(50)))
    ended = [await bench.ended(transfer_id) for transfer_id in begun]
    statuses = [transfer["status"] for transfer in ended]
    assert (statuses.count("completed"), statuses.count("failed")) == (10, 40)
    assert await home.available() == 0


async def test_an_address_that_was_changed_meanwhile_changes_nothing_for_a_step_under_way(bench: Bench) -> None:
    """It is resolved where it began."""
    home, partner = await bench.connect(home=True), await bench.connect()
    # So often that the wallet's new settings are known long before the end.
    await partner.system.arm("drop", operations=["put"], count=15)
    transfer_id = await bench.begin(home, partner)
    await bench.step_of(transfer_id, "credit")
    await bench.change(partner, base_url="http://127.0.0.1:1")
    transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    assert transfer["steps"][1]["base_url"] == bench.reference.url


async def test_a_refund_goes_where_the_debit_was_made(bench: Bench) -> None:
    """The source has moved to another server since, which knows nothing of the debit."""
    source, target = await bench.connect(), await bench.connect()
    await target.system.arm("delay", operations=["put"], when="before", delay_ms=2000)
    transfer_id = await bench.begin(source, target, target=target.side("nobody"))
    await bench.step_of(transfer_id, "credit")
    await bench.change(source, base_url="http://127.0.0.1:1")
    transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "reversed"
    assert (transfer["steps"][-1]["kind"], transfer["steps"][-1]["base_url"]) == ("refund", bench.reference.url)
    assert await source.ledger() == Decimal("100.00")


async def test_a_step_is_made_where_the_wallet_is_when_it_begins(bench: Bench) -> None:
    """The target has moved since the transfer was claimed, and before the credit began."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    await bench.change(partner, base_url="http://127.0.0.1:1")
    await home.system.arm("delay", operations=["put"], when="after", delay_ms=2500)
    transfer_id = await bench.begin(home, partner)
    await bench.step_of(transfer_id, "hold")
    await bench.change(partner, base_url=bench.reference.url)
    transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    assert transfer["steps"][1]["base_url"] == bench.reference.url


async def test_a_key_that_was_rotated_meanwhile_signs_the_next_call(bench: Bench) -> None:
    """The same order goes on under the new key."""
    home, partner = await bench.connect(home=True), await bench.connect(response_signatures="optional")
    await partner.system.arm("drop", operations=["put"], when="before", count=3)
    transfer_id = await bench.begin(home, partner)
    await bench.step_of(transfer_id, "credit")
    answer = await bench.tenant.owner.post(
        f"/v1/external-wallets/{partner.wallet}/api-key/rotate", json={"overlap_seconds": 0}
    )
    assert answer.status_code == 200, answer.text
    await bench.register_key(partner, answer.json())
    assert (await bench.ended(transfer_id))["status"] == "completed"


async def test_the_resolver_goes_on_past_an_open_breaker(bench: Bench) -> None:
    """New transfers are refused, and the one whose outcome is unknown is resolved."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    await partner.system.arm("status", operations=["put", "get"], status=503, count=None)
    transfer_id = await bench.begin(home, partner)
    await bench.attempted(transfer_id, ("credit", "get", "unknown"))
    assert (await bench.ended(transfer_id))["status"] == "completed"

    begun: list[str] = []

    async def is_refused() -> bool:
        answer = await bench.post(home, partner)
        if answer.status_code == 201:
            begun.append(answer.json()["id"])
            return False
        return answer.json()["code"] == "wallet_unavailable" and int(answer.headers["retry-after"]) > 0

    await until(is_refused, what="new transfers are refused")
    await partner.system.disarm()
    for other in begun:
        assert (await bench.ended(other))["status"] in {"completed", "failed"}


async def test_what_stays_unknown_for_a_day_goes_to_a_person_with_the_funds_held(bench: Bench) -> None:
    """Nothing is guessed; the person's word carries the transfer on."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=SHORT)
    await partner.system.arm("drop", operations=["put", "get", "cancel"], when="before", count=None)
    transfer_id = await bench.begin(home, partner)
    await bench.attempted(transfer_id, ("credit", "cancel", "unknown"))
    await bench.age(transfer_id, hours=25)
    transfer = await bench.ended(transfer_id)
    assert (transfer["status"], transfer["failure"]["code"]) == ("manual_review", "outcome_unknown")
    assert (transfer["outcome_unknown"], await home.available()) == (True, Decimal("90.00"))
    resolved = await bench.resolve(transfer_id, "failed")
    assert (resolved["status"], resolved["decision"]["decision"]) == ("failed", "failed")
    assert await home.available() == Decimal("100.00")
