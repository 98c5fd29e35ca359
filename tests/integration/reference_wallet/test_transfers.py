"""Transfers at the reference wallet: each state, each refusal, the same id for ever, the feed, and money that adds up."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from support.reference_wallet import ReferenceWallet, WalletSystem, order, soon

_TOMBSTONE = {"state": "cancelled", "op": None, "amount": None, "currency": None}


async def balances(system: WalletSystem, wallet_id: str = "w1") -> tuple[str, str, str]:
    """Return ledger, available and held."""
    shown = await system.caller.balance(wallet_id)
    return shown["ledger"], shown["available"], shown["held"]


async def test_a_direct_debit_and_a_direct_credit_move_at_once(system: WalletSystem) -> None:
    """A direct transfer is committed by its first answer, which echoes what was ordered."""
    debit = await system.caller.put("tr1.d.1", amount="10.50")
    assert debit.items() >= {"state": "committed", "op": "debit", "amount": "10.50", "currency": "USD"}.items()
    assert (debit["transfer_id"], debit["balance_after"], debit["seq"]) == ("tr1.d.1", "89.50", 1)
    credit = await system.caller.put("tr1.c.1", op="credit", amount="0.5")
    assert (credit["state"], credit["amount"], credit["balance_after"]) == ("committed", "0.5", "90.00")
    assert await balances(system) == ("90.00", "90.00", "0.00")


async def test_a_hold_is_set_aside_until_it_is_committed(system: WalletSystem) -> None:
    """A hold lowers what is available; committing it lowers the ledger."""
    held = await system.caller.put("tr2.d.1", mode="hold", amount="40.00")
    assert held["state"] == "held"
    assert "hold_expires_at" not in held
    assert await balances(system) == ("100.00", "60.00", "40.00")
    committed = await system.caller.commit("tr2.d.1")
    assert (committed["state"], committed["wallet_txn_id"]) == ("committed", held["wallet_txn_id"])
    assert await balances(system) == ("60.00", "60.00", "0.00")


async def test_a_cancelled_hold_gives_everything_back(system: WalletSystem) -> None:
    """A cancelled hold is available again, and a later commit meets the cancelled state."""
    await system.caller.put("tr3.d.1", mode="hold", amount="40.00")
    cancelled = await system.caller.cancel("tr3.d.1")
    assert (cancelled["state"], cancelled["amount"]) == ("cancelled", "40.00")
    assert await system.caller.commit("tr3.d.1") == cancelled
    assert await balances(system) == ("100.00", "100.00", "0.00")


async def test_a_held_credit_arrives_when_it_is_committed(system: WalletSystem) -> None:
    """A credit that is held is not there yet."""
    await system.caller.put("tr4.c.1", op="credit", mode="hold", amount="5.00")
    assert await balances(system) == ("100.00", "100.00", "0.00")
    await system.caller.commit("tr4.c.1")
    assert await balances(system) == ("105.00", "105.00", "0.00")


async def test_what_is_committed_stays_committed(system: WalletSystem) -> None:
    """A cancel that comes too late answers the committed state and undoes nothing."""
    committed = await system.caller.put("tr5.d.1")
    assert await system.caller.cancel("tr5.d.1") == committed
    assert await balances(system) == ("90.00", "90.00", "0.00")


@pytest.mark.parametrize("call", ["cancel", "commit"])
async def test_an_id_never_seen_is_cancelled_for_ever(system: WalletSystem, call: str) -> None:
    """Cancel (or commit) before the order leaves a tombstone, and the order that comes late is refused."""
    tombstone = await getattr(system.caller, call)("tr6.d.1")
    assert tombstone.items() >= _TOMBSTONE.items()
    assert await system.caller.put("tr6.d.1") == tombstone
    assert await system.caller.put("tr6.d.1", amount="99.00") == tombstone
    assert await system.caller.get("tr6.d.1") == tombstone
    assert await balances(system) == ("100.00", "100.00", "0.00")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount": "100.01"}, "insufficient_funds"),
        ({"wallet_id": "w2"}, "wallet_not_found"),
        ({"owner_ref": "owner-2"}, "wallet_not_found"),
        ({"currency": "EUR"}, "currency_mismatch"),
        ({"currency": "XXZ"}, "currency_mismatch"),
        ({"amount": "1.001"}, "precision_exceeded"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "expired"),
        ({"op": "credit", "amount": "999999999999999999.99"}, "limit_exceeded"),
    ],
)
async def test_a_definitive_refusal_is_a_state(system: WalletSystem, fields: dict[str, Any], code: str) -> None:
    """A refusal is a 200 with a code, moves nothing, and stays: the same order later is refused the same way."""
    refused = await system.caller.put("tr7.d.1", **(sent := order(**fields)))
    assert (refused["state"], refused["error"]["code"]) == ("rejected", code)
    await system.caller.put("tr7.c.1", op="credit", amount="500.00")
    assert await system.caller.put("tr7.d.1", **sent) == refused
    assert await system.caller.commit("tr7.d.1") == refused
    assert (await system.caller.balance())["ledger"] == "600.00"


async def test_a_frozen_or_limited_wallet_refuses(system: WalletSystem) -> None:
    """Freezing and a limit for one transfer are definitive refusals of new orders."""
    await system.do("PATCH", "wallets/w1", {"transfer_max": "20.00"})
    assert (await system.caller.put("tr8.d.1", amount="20.01"))["error"]["code"] == "limit_exceeded"
    await system.do("PATCH", "wallets/w1", {"frozen": True})
    assert (await system.caller.put("tr8.d.2"))["error"]["code"] == "wallet_frozen"


@pytest.mark.parametrize(("amount", "state"), [("1.5", "rejected"), ("1.0", "rejected"), ("15", "committed")])
async def test_yen_have_no_decimals(system: WalletSystem, amount: str, state: str) -> None:
    """Decimals that the currency does not have are refused, also when they are zeros."""
    await system.open_wallet("yen", currency="JPY", balance="1000")
    answer = await system.caller.put("tr9.d.1", wallet_id="yen", currency="JPY", amount=amount)
    assert answer["state"] == state


async def test_dinars_have_three_decimals(system: WalletSystem) -> None:
    """Bahraini dinars are exact to the third decimal, and show it."""
    await system.open_wallet("bhd", currency="BHD", balance="1.000")
    await system.caller.put("tr10.d.1", wallet_id="bhd", currency="BHD", amount="0.001")
    assert await balances(system, "bhd") == ("0.999", "0.999", "0.000")


@pytest.mark.parametrize("other", [{"amount": "10.01"}, {"op": "credit"}, {"not_after": "2030-01-01T00:00:00Z"}])
async def test_other_content_under_the_same_id_is_a_conflict(system: WalletSystem, other: dict[str, Any]) -> None:
    """The same id with other content is 409 and does nothing; ``not_after`` is content."""
    await system.caller.put("tr11.d.1", **(sent := order()))
    answer = await system.caller.call("PUT", "/v1/transfers/tr11.d.1", {**sent, **other})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert await balances(system) == ("90.00", "90.00", "0.00")


async def test_the_same_amount_written_otherwise_is_the_same_content(system: WalletSystem) -> None:
    """10 and 10.00 are one amount: the repetition answers the first state."""
    first = await system.caller.put("tr12.d.1", **(sent := order(amount="10.00")))
    assert await system.caller.put("tr12.d.1", **{**sent, "amount": "10"}) == first


_MALFORMED: list[dict[str, Any]] = [
    *(
        {"amount": text}
        for text in ("-1", "+1", "01", "1.", ".5", "1e3", " 1", "\uff11", "1.123456789", "NaN", "", "0")
    ),
    *({"amount": number} for number in (10, 10.5, True, None)),
    {"op": "refund"},
    {"mode": "later"},
    {"currency": "usd"},
    {"not_after": "tomorrow"},
    {"not_after": "2030-01-01T00:00:00"},
    {"wallet_id": ""},
    {"unknown": 1},
]


@pytest.mark.parametrize("fields", _MALFORMED, ids=str)
async def test_what_is_malformed_is_refused_and_leaves_the_id_free(
    system: WalletSystem, fields: dict[str, Any]
) -> None:
    """A body that is not of its form is 422; nothing is kept under the id."""
    answer = await system.caller.call("PUT", "/v1/transfers/tr13.d.1", {**order(), **fields})
    assert answer.status_code == 422, answer.text
    assert (await system.caller.call("GET", "/v1/transfers/tr13.d.1")).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"op":"debit","op":"debit"}', b'{"amount":NaN}', b'{"amount":1e400}']
)
async def test_bodies_that_are_no_strict_json_are_refused(system: WalletSystem, body: bytes) -> None:
    """Duplicate keys, NaN, numbers beyond all measure and truncated bodies are 422."""
    answer = await system.caller.call("PUT", "/v1/transfers/tr14.d.1", body=body)
    assert answer.status_code == 422, answer.text


async def test_only_a_get_of_an_unknown_id_is_a_404(system: WalletSystem) -> None:
    """What was never seen is unknown, with a code."""
    answer = await system.caller.call("GET", "/v1/transfers/tr15.d.1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_feed_has_every_change_without_a_gap(system: WalletSystem) -> None:
    """Each change of state is an entry as it was then; beyond the end there is none, and the end is told."""
    held = await system.caller.put("tr16.d.1", mode="hold")
    refused = await system.caller.put("tr16.d.2", amount="1000.00")
    committed = await system.caller.commit("tr16.d.1")
    tombstone = await system.caller.cancel("tr16.d.3")
    assert await system.caller.feed() == {"data": [held, refused, committed, tombstone], "latest_seq": 4}
    assert await system.caller.feed(after_seq=1, limit=2) == {"data": [refused, committed], "latest_seq": 4}
    assert await system.caller.feed(after_seq=99) == {"data": [], "latest_seq": 4}
    assert [entry["seq"] for entry in (await system.caller.feed())["data"]] == [1, 2, 3, 4]


async def test_systems_know_nothing_of_one_another(system: WalletSystem, wallet: ReferenceWallet) -> None:
    """Another system's transfers, wallets and feed are as if they did not exist."""
    await system.caller.put("tr17.d.1")
    other = await wallet.new_system()
    assert (await other.caller.call("GET", "/v1/transfers/tr17.d.1")).status_code == 404
    assert (await other.caller.call("GET", "/v1/wallets/w1/balance")).status_code == 404
    assert await other.caller.feed() == {"data": [], "latest_seq": 0}


async def test_a_hold_that_ends_says_so_and_ends(wallet: ReferenceWallet) -> None:
    """Where holds end by themselves the answer tells when; a commit after that is definitive and moves nothing."""
    system = await wallet.new_system(hold_seconds=1)
    await system.open_wallet()
    held = await system.caller.put("tr18.d.1", mode="hold", amount="40.00", not_after=soon(3600))
    assert held["hold_expires_at"] < soon(2)
    async with asyncio.timeout(10):
        while (await balances(system))[2] != "0.00":
            pass
    ended = await system.caller.commit("tr18.d.1")
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "expired")
    assert [entry["state"] for entry in (await system.caller.feed())["data"]] == ["held", "cancelled"]
    assert await balances(system) == ("100.00", "100.00", "0.00")


async def test_a_system_without_holds_says_so_and_refuses_them(wallet: ReferenceWallet) -> None:
    """Its well-known document says that there are none, and an order for one is malformed."""
    system = await wallet.new_system(holds=False)
    await system.open_wallet()
    assert (await system.caller.call("GET", "/.well-known/external-wallet")).json()["holds"] is False
    answer = await system.caller.call("PUT", "/v1/transfers/tr19.d.1", order(mode="hold"))
    assert (answer.status_code, answer.json()["code"]) == (422, "holds_unsupported")


async def test_balances_of_owners_come_page_by_page(system: WalletSystem) -> None:
    """A query gives the wallets of these owners in the order of their ids, each once, over pages."""
    for number in range(5):
        await system.open_wallet(f"x{number}", owner_ref=f"owner-{number % 2 + 5}")
    query: dict[str, Any] = {"owner_refs": ["owner-5", "owner-6"], "limit": 2}
    seen: list[str] = []
    while True:
        page = (await system.caller.call("POST", "/v1/balances:query", query)).json()
        seen += [item["wallet_id"] for item in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["x0", "x1", "x2", "x3", "x4"]
    one = (
        await system.caller.call("POST", "/v1/balances:query", {"owner_refs": ["owner-1"], "currency": "EUR"})
    ).json()
    assert one == {"data": [], "next_cursor": None}


async def test_fifty_debits_at_once_never_overdraw(system: WalletSystem) -> None:
    """Of fifty debits of 10.00 on a balance of 100.00, ten are committed and forty refused; the feed has all, in order."""
    answers = await asyncio.gather(*(system.caller.put(f"tr20.d.{number}") for number in range(50)))
    assert sorted(answer["state"] for answer in answers) == ["committed"] * 10 + ["rejected"] * 40
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {"insufficient_funds"}
    assert await balances(system) == ("0.00", "0.00", "0.00")
    feed = await system.caller.feed()
    assert [entry["seq"] for entry in feed["data"]] == list(range(1, 51))


async def test_of_commit_and_cancel_at_once_one_wins(system: WalletSystem) -> None:
    """Whatever wins, both calls answer the same state and the balance agrees with it."""
    for number in range(20):
        transfer_id = f"tr21.d.{number}"
        await system.caller.put(transfer_id, mode="hold", amount="1.00")
        one, other = await asyncio.gather(system.caller.commit(transfer_id), system.caller.cancel(transfer_id))
        assert one == other
    feed = (await system.caller.feed())["data"]
    committed = sum(entry["state"] == "committed" for entry in feed)
    assert len(feed) == 40
    assert await balances(system) == (shown := f"{Decimal(100 - committed)}.00", shown, "0.00")


async def test_one_order_sent_twenty_times_at_once_is_done_once(system: WalletSystem) -> None:
    """Twenty equal orders at the same moment have one effect and one answer."""
    sent = order(amount="7.00")
    answers = await asyncio.gather(*(system.caller.put("tr22.d.1", **sent) for _ in range(20)))
    assert answers == [answers[0]] * 20
    assert (await system.caller.feed())["latest_seq"] == 1
    assert await balances(system) == ("93.00", "93.00", "0.00")


async def test_cancel_and_order_at_once_agree(system: WalletSystem) -> None:
    """An order and its cancel at the same moment end in one state, which both later calls see."""
    for number in range(20):
        transfer_id = f"tr23.d.{number}"
        sent = order(mode="hold", amount="1.00")
        answers = await asyncio.gather(system.caller.put(transfer_id, **sent), system.caller.cancel(transfer_id))
        assert answers[1]["state"] == "cancelled"
        assert (await system.caller.put(transfer_id, **sent))["state"] == "cancelled"
    assert await balances(system) == ("100.00", "100.00", "0.00")
