"""Each fault that the reference wallet can be asked for, as a caller meets it, and what it did meanwhile."""

import asyncio
import gzip
import re
from typing import Any

import httpx2
import orjson
import pytest

from shared.ewp.messages import MalformedAnswerError, parse_transfer_answer
from shared.ewp.signature_errors import SignatureRefusedError
from support.reference_wallet import ReferenceWallet, WalletSystem, order

_BYTES_READ = 256 * 1024


async def state_of(system: WalletSystem, transfer_id: str) -> str | None:
    """Return the state of a transfer at the wallet, None if it was never seen."""
    answer = await system.caller.call("GET", f"/v1/transfers/{transfer_id}")
    return None if answer.status_code == 404 else str(answer.json()["state"])


@pytest.mark.parametrize(("when", "state"), [("before", None), ("after", "committed")])
async def test_a_dropped_connection(system: WalletSystem, when: str, state: str | None) -> None:
    """The connection is cut without an answer, before the order was carried out or after it; the next call is good."""
    await system.arm("drop", operations=["put"], when=when)
    with pytest.raises(httpx2.TransportError):
        await system.caller.put("f1.d.1")
    assert await state_of(system, "f1.d.1") == state
    assert (await system.caller.put("f1.d.2"))["state"] == "committed"


async def test_a_call_that_takes_effect_late(system: WalletSystem) -> None:
    """The caller sees a cut connection and no transfer; the order is carried out a moment later."""
    await system.arm("late", operations=["put"], delay_ms=300)
    with pytest.raises(httpx2.TransportError):
        await system.caller.put("f2.d.1")
    assert await state_of(system, "f2.d.1") is None
    async with asyncio.timeout(10):
        while await state_of(system, "f2.d.1") != "committed":
            pass


async def test_a_late_order_meets_the_tombstone(system: WalletSystem) -> None:
    """An order that arrives after its cancel is refused: nothing moves."""
    await system.arm("late", operations=["put"], delay_ms=300)
    with pytest.raises(httpx2.TransportError):
        await system.caller.put("f3.d.1")
    tombstone = await system.caller.cancel("f3.d.1")
    await asyncio.wait_for(_late_calls_end(system), 10)
    assert await system.caller.get("f3.d.1") == tombstone
    assert (await system.caller.balance())["ledger"] == "100.00"


async def _late_calls_end(system: WalletSystem) -> None:
    """Wait until a second late call, made after the first and due no earlier, has shown its effect."""
    await system.arm("late", operations=["put"], delay_ms=300)
    with pytest.raises(httpx2.TransportError):
        await system.caller.put("f3.d.2", amount="1000.00")
    while await state_of(system, "f3.d.2") is None:
        pass


@pytest.mark.parametrize(
    ("rule", "status", "content_type"),
    [
        ({"kind": "status", "when": "after"}, 500, "application/problem+json"),
        ({"kind": "html", "when": "after"}, 502, "text/html; charset=utf-8"),
        ({"kind": "html", "when": "after", "status": 200}, 200, "text/html; charset=utf-8"),
        ({"kind": "status", "when": "after", "status": 403}, 403, "application/problem+json"),
    ],
)
async def test_another_answer_than_the_true_one(
    system: WalletSystem, rule: dict[str, Any], status: int, content_type: str
) -> None:
    """The order is carried out, and the caller is told something else."""
    await system.arm(**rule)
    answer = await system.caller.call("PUT", "/v1/transfers/f4.d.1", order())
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    assert await state_of(system, "f4.d.1") == "committed"


@pytest.mark.parametrize(
    "kind",
    ["empty", "repeat_true", "wrong_state", "number_amount", "nan", "huge_number", "duplicate_keys", "deep_json"],
)
async def test_content_that_proves_nothing(system: WalletSystem, kind: str) -> None:
    """The answer is no answer of the protocol, though it is a 200."""
    await system.arm(kind, operations=["put"])
    answer = await system.caller.call("PUT", "/v1/transfers/f5.d.1", order())
    assert answer.status_code == 200
    with pytest.raises(MalformedAnswerError):
        parse_transfer_answer(answer.content)
    assert await state_of(system, "f5.d.1") == "committed"


@pytest.mark.parametrize(
    ("kind", "field"), [("wrong_id", "transfer_id"), ("wrong_amount", "amount"), ("wrong_currency", "currency")]
)
async def test_an_echo_of_something_else(system: WalletSystem, kind: str, field: str) -> None:
    """The answer is well-formed and signed, and about something else than was ordered."""
    await system.arm(kind, operations=["put"])
    wrong = await system.caller.put("f6.d.1")
    true = await system.caller.get("f6.d.1")
    assert {name for name in true if true[name] != wrong[name]} == {field}


@pytest.mark.parametrize("kind", ["bad_signature", "old_signature", "replayed_signature", "altered_body"])
async def test_a_signature_that_does_not_hold(system: WalletSystem, kind: str) -> None:
    """The answer's signature is refused by whoever verifies it."""
    if kind == "replayed_signature":  # it needs an answer to replay
        await system.arm("wrong_id", operations=["get"])
        await system.caller.get((await system.caller.put("f7.d.0"))["transfer_id"])
    await system.caller.put("f7.d.1")
    await system.arm(kind, operations=["get"])
    with pytest.raises(SignatureRefusedError):
        await system.caller.get("f7.d.1")


async def test_an_answer_without_signature(system: WalletSystem) -> None:
    """The answer is true and unsigned."""
    await system.arm("no_signature")
    answer = await system.caller.call("PUT", "/v1/transfers/f8.d.1", order())
    assert answer.json()["state"] == "committed"
    assert "signature" not in answer.headers


async def test_a_truncated_body(system: WalletSystem) -> None:
    """The connection ends in the middle of the body."""
    await system.arm("truncated")
    with pytest.raises(httpx2.RemoteProtocolError):
        await system.caller.put("f9.d.1")
    assert await state_of(system, "f9.d.1") == "committed"


@pytest.mark.parametrize("kind", ["endless", "gzip_bomb", "drip"])
async def test_bodies_that_do_not_end_in_time(system: WalletSystem, wallet: ReferenceWallet, kind: str) -> None:
    """The body goes on for as long as the caller reads; when the caller goes, so does the answer."""
    await system.arm(kind, operations=["put"], delay_ms=50)
    body = orjson.dumps(order())
    headers = system.caller.signed_headers("PUT", "/v1/transfers/f10.d.1", body)
    async with wallet.http.stream("PUT", "/v1/transfers/f10.d.1", content=body, headers=headers) as answer:
        assert answer.status_code == 200
        read = 0
        async for chunk in answer.aiter_raw():
            read += len(chunk)
            if kind == "drip" or read > _BYTES_READ:
                break
        assert read >= 1
        if kind == "gzip_bomb":
            assert answer.headers["content-encoding"] == "gzip"
    assert await state_of(system, "f10.d.1") == "committed"


async def test_a_delayed_answer(system: WalletSystem) -> None:
    """The answer comes, later than the caller may want to wait."""
    await system.arm("delay", operations=["put"], delay_ms=400)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await system.caller.put("f11.d.1")
    assert (await system.caller.put("f11.d.2"))["state"] == "committed"


async def test_a_wrong_clock(system: WalletSystem, wallet: ReferenceWallet) -> None:
    """A wallet whose clock is ten minutes off refuses every signature, and does nothing."""
    await wallet.control.put("/control/clock", json={"skew_seconds": 600})
    try:
        answer = await system.caller.call("PUT", "/v1/transfers/f12.d.1", order())
    finally:
        await wallet.control.put("/control/clock", json={"skew_seconds": 0})
    assert answer.status_code == 401
    assert re.match(r"signature_time: made -60\d s", answer.json()["detail"])
    assert await state_of(system, "f12.d.1") is None


async def test_a_restored_backup_takes_the_feed_back(system: WalletSystem) -> None:
    """Balances, transfers and the feed are as they were after an earlier change; the rest never was."""
    await system.caller.put("f13.d.1", mode="hold", amount="10.00")
    await system.caller.put("f13.d.2", amount="5.00")
    await system.caller.commit("f13.d.1")
    await system.do("POST", "restore", {"seq": 1})
    assert (await system.caller.feed(after_seq=3))["latest_seq"] == 1
    assert await state_of(system, "f13.d.1") == "held"
    assert await state_of(system, "f13.d.2") is None
    shown = await system.caller.balance()
    assert (shown["ledger"], shown["held"]) == ("100.00", "10.00")


async def test_a_transaction_that_only_the_wallet_knows(system: WalletSystem) -> None:
    """The wallet moves money by itself, and its feed shows it."""
    made = await system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "debit", "amount": "3.00"})
    assert (await system.caller.feed())["data"] == [made]
    assert (await system.caller.balance())["ledger"] == "97.00"


async def test_the_same_seed_makes_the_same_faults(wallet: ReferenceWallet) -> None:
    """Chosen by probability, faults strike the same calls in each run with the same seed."""
    runs = []
    for _ in range(2):
        system = await wallet.new_system()
        await system.open_wallet()
        await system.arm("status", probability=0.5, seed=7, count=None)
        answers = [await system.caller.call("GET", "/v1/wallets/w1/balance") for _ in range(20)]
        runs.append([answer.status_code for answer in answers])
    assert runs[0] == runs[1]
    assert {200, 500} == set(runs[0])


def test_the_bomb_is_one() -> None:
    """A gigabyte of zeros packs to about a megabyte, so that a cap on packed bytes alone would not help."""
    assert len(gzip.compress(b"0" * 1024**2)) < 2048
