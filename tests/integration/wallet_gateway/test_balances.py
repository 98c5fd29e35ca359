"""Balances of one wallet: live and remembered, whole and partial, and what is shown when a wallet brings nothing."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from shared.ewp.messages import BalancePage
from support.egress_peer import Peer, answer, run_peer
from support.fake_wallet import FakeWallet
from support.gateway_service import GatewayService, Tenant
from support.model_wallet import ModelWallet
from wallet_gateway.isolation.breaker import FAILURES_MAX

OWNER = "a1b2c3d4"


def _wallet(**amounts: str) -> FakeWallet:
    wallet = FakeWallet()
    for currency, amount in (amounts or {"USD": "250.00"}).items():
        wallet.model.open_account(f"acct-{currency}", amount, owner_ref=OWNER, currency=currency)
    return wallet


async def _read(client: httpx2.AsyncClient, made: dict[str, Any], **query: str) -> dict[str, Any]:
    path = f"/v1/external-wallets/{made['id']}/balances"
    told = await client.get(path, params={"owner_ref": OWNER, **query})
    assert told.status_code == 200, told.text
    shown: dict[str, Any] = told.json()
    return shown


async def test_a_balance_is_shown_exactly(tenant: Tenant) -> None:
    """Every field of the contract, money as text at its currency's scale, live with its age."""
    async with tenant.served_wallet(_wallet(USD="250", JPY="1000", BHD="0.125")) as (made, server):
        server.wallet.model.accounts["acct-USD"].held = Decimal(50)
        shown = await _read(tenant.owner, made)
        assert (shown["partial"], shown["errors"]) == (False, [])
        rows = {row["currency"]: row for row in shown["data"]}
        dollars = rows["USD"]
        assert {name: dollars[name] for name in ("wallet_id", "owner_ref", "scale", "source")} == {
            "wallet_id": "acct-USD",
            "owner_ref": OWNER,
            "scale": 2,
            "source": "live",
        }
        assert (dollars["ledger"], dollars["available"], dollars["held"]) == ("250.00", "200.00", "50.00")
        assert {"as_of", "fetched_at", "age_ms"} <= dollars.keys()
        assert (rows["JPY"]["ledger"], rows["BHD"]["ledger"]) == ("1000", "0.125")
        only = await _read(tenant.owner, made, currency="JPY")
        assert [row["currency"] for row in only["data"]] == ["JPY"]


async def test_a_short_memory_spares_the_wallet(tenant: Tenant) -> None:
    """Within `balance_cache_seconds` it is not asked again, and what is shown says that it is remembered, and how old."""
    async with tenant.served_wallet(_wallet(), balance_cache_seconds=60) as (made, server):
        first = await _read(tenant.owner, made)
        server.wallet.model.accounts["acct-USD"].ledger = Decimal(1)
        second = await _read(tenant.owner, made)
        assert ([row["source"] for row in first["data"]], [row["source"] for row in second["data"]]) == (
            ["live"],
            ["cache"],
        )
        assert second["data"][0]["ledger"] == "250.00"
        assert second["data"][0]["age_ms"] > 0
        assert second["partial"] is False
        assert len(server.requests) == 1
        await _read(tenant.owner, made, currency="USD")
        assert len(server.requests) == 2


async def test_without_memory_each_read_is_live(tenant: Tenant) -> None:
    """`balance_cache_seconds: 0`; nothing is remembered for bad times either."""
    async with tenant.served_wallet(_wallet(), balance_cache_seconds=0) as (made, server):
        for ledger in (1, 2):
            server.wallet.model.accounts["acct-USD"].ledger = Decimal(ledger)
            assert (await _read(tenant.owner, made))["data"][0]["ledger"] == f"{ledger}.00"
        server.wallet.faults.append("error_before")
        server.keys = []
        shown = await _read(tenant.owner, made)
        assert (shown["data"], shown["partial"]) == ([], True)


async def test_calls_at_once_ask_the_wallet_once(tenant: Tenant) -> None:
    """A page that many open at once is no load on the wallet."""
    async with tenant.served_wallet(_wallet()) as (made, server):
        shown = await asyncio.gather(*(_read(tenant.owner, made) for _ in range(10)))
        assert len(server.requests) == 1
        assert {told["data"][0]["ledger"] for told in shown} == {"250.00"}


async def test_without_memory_nobody_is_served_by_what_another_began(
    service: GatewayService, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks while the wallet answers somebody else may want to see what has just changed there."""
    body, may_answer = b'{"data":[],"next_cursor":null}', asyncio.Event()
    whole = answer(b"HTTP/1.1 200 .\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def waits(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await whole(peer, reader, writer)

    flights, came = service.resources.balances._reader._flights, list[bool]()
    run = flights.run

    async def told(*asked: Any, join: bool) -> Any:
        came.append(join)
        if len(came) == 2:
            may_answer.set()  # whoever waits for the first one does so in this same breath
        return await run(*asked, join=join)

    monkeypatch.setattr(flights, "run", told)
    async with run_peer(waits) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}", balance_cache_seconds=0)
        reads = await asyncio.gather(*(_read(tenant.owner, made) for _ in range(2)))
        assert [read["partial"] for read in reads] == [False, False]
        assert len(peer.requests) == 2


async def test_what_is_older_than_an_hour_is_not_shown(
    service: GatewayService, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the wallet brings nothing newer: by then it would mislead more than it tells."""
    reader = service.resources.balances._reader
    async with tenant.served_wallet(_wallet(), balance_cache_seconds=60) as (made, server):
        await _read(tenant.owner, made)
        server.keys = []
        for hours, ledgers in ((0.999, ["250.00"]), (1.001, [])):
            monkeypatch.setattr(reader, "_clock", lambda hours=hours: time.monotonic() + hours * 3600)
            shown = await _read(tenant.owner, made)
            assert ([row["ledger"] for row in shown["data"]], shown["partial"]) == (ledgers, True)


async def test_a_changed_address_never_shows_what_the_one_before_said(tenant: Tenant) -> None:
    """What is remembered belongs to a server."""
    async with (
        tenant.served_wallet(_wallet(USD="1"), balance_cache_seconds=60) as (made, one),
        tenant.served_wallet(_wallet(USD="2")) as (_, other),
    ):
        assert (await _read(tenant.owner, made))["data"][0]["ledger"] == "1.00"
        other.keys = one.keys
        await tenant.owner.patch(f"/v1/external-wallets/{made['id']}", json={"base_url": other.url})
        assert (await _read(tenant.owner, made))["data"][0]["ledger"] == "2.00"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", "http_500"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html/> :", "answer_malformed"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"repeat":true}', "answer_malformed"),
        (b"HTTP/1.1 302 x\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", "http_302"),
        (b"", "response_broken"),
    ],
)
async def test_a_wallet_that_brings_nothing_is_told(tenant: Tenant, script: bytes, code: str) -> None:
    """200 with `partial` and the fault, and no balance that is not one."""
    async with run_peer(answer(script)) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}")
        shown = await _read(tenant.owner, made)
        assert (shown["data"], shown["partial"]) == ([], True)
        assert [error["code"] for error in shown["errors"]] == [code]


class _Indiscreet(ModelWallet):
    """A wallet that answers every question with all it has."""

    def query(self, *, owner_refs: Sequence[str], currency: str | None, cursor: str | None, limit: int) -> BalancePage:
        assert (owner_refs, currency) != ([], None)
        return ModelWallet.query(self, owner_refs=[], currency=None, cursor=cursor, limit=limit)


async def test_somebody_elses_balance_is_never_shown(tenant: Tenant) -> None:
    """A wallet that answers with another owner's, or another currency's, is not believed."""
    wallet = FakeWallet(model=_Indiscreet())
    for currency in ("USD", "JPY"):
        wallet.model.open_account(f"acct-{currency}", "1", owner_ref=OWNER, currency=currency)
    async with tenant.served_wallet(wallet, balance_cache_seconds=0) as (made, _):
        shown = await _read(tenant.owner, made, currency="USD")
        assert (shown["data"], shown["errors"][0]["code"]) == ([], "answer_malformed")
        foreign = await tenant.owner.get(
            f"/v1/external-wallets/{made['id']}/balances", params={"owner_ref": "somebody-else"}
        )
        assert (foreign.json()["data"], foreign.json()["errors"][0]["code"]) == ([], "answer_malformed")


async def test_an_open_breaker_shows_what_is_remembered_marked(service: GatewayService, tenant: Tenant) -> None:
    """The wallet is left alone; the old balance comes with its age, `partial`, and `wallet_unavailable`."""
    async with tenant.served_wallet(_wallet(), balance_cache_seconds=1) as (made, server):
        await _read(tenant.owner, made)
        server.wallet.faults.extend(["lost"] * 100)
        for number in range(FAILURES_MAX):
            shown = await _read(tenant.owner, made, owner_ref=f"owner-{number}")
            assert shown["partial"] is True
        await service.resources.notices.settle()
        asked = len(server.requests)
        unknown = await _read(tenant.owner, made, owner_ref="never-read")
        assert (unknown["data"], unknown["errors"][0]["code"]) == ([], "wallet_unavailable")
        told = await _later(tenant, made)
        assert (told["data"][0]["ledger"], told["data"][0]["source"]) == ("250.00", "cache")
        assert told["data"][0]["age_ms"] >= 1000
        assert (told["partial"], told["errors"][0]["code"]) == (True, "wallet_unavailable")
        assert len(server.requests) == asked
        rows = await service.rows("SELECT open_until > now() AS open FROM wallet_breakers")
        assert [row.open for row in rows] == [True]


async def _later(tenant: Tenant, made: dict[str, Any]) -> dict[str, Any]:
    """Read again and again until what is remembered is older than the wallet's memory."""
    async with asyncio.timeout(10):
        while True:
            told = await _read(tenant.owner, made)
            if told["partial"]:
                return told


async def test_what_another_process_found_out_is_believed(service: GatewayService, tenant: Tenant) -> None:
    """A breaker that a worker opened stops this process's reads as well."""
    async with tenant.served_wallet(_wallet()) as (made, server):
        await service.rows(
            "INSERT INTO wallet_breakers (wallet_id, open_until)"
            " SELECT id, now() + interval '1 minute' FROM external_wallets ORDER BY id DESC LIMIT 1"
        )
        shown = await _read(tenant.owner, made)
        assert (shown["errors"][0]["code"], server.requests) == ("wallet_unavailable", [])


async def test_more_balances_than_are_shown_are_told(tenant: Tenant) -> None:
    """Pages are followed up to 200 balances of one client."""
    wallet = FakeWallet()
    for number in range(201):
        wallet.model.open_account(f"acct-{number}", "1", owner_ref=OWNER)
    async with tenant.served_wallet(wallet) as (made, _):
        shown = await _read(tenant.owner, made)
        assert (len(shown["data"]), shown["partial"], shown["errors"][0]["code"]) == (200, True, "more_balances")


async def test_a_disabled_wallet_is_not_asked_and_a_frozen_one_is(service: GatewayService, tenant: Tenant) -> None:
    """409 `wallet_disabled`; freezing is for transfers alone."""
    async with tenant.served_wallet(_wallet()) as (made, server):
        path = f"/v1/external-wallets/{made['id']}"
        await service.rows("UPDATE external_wallets SET frozen = true, frozen_reason = 'feed_regressed'")
        assert (await _read(tenant.owner, made))["partial"] is False
        await tenant.owner.post(f"{path}/disable")
        refused = await tenant.owner.get(f"{path}/balances", params={"owner_ref": OWNER})
        assert (refused.status_code, refused.json()["code"]) == (409, "wallet_disabled")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"owner_ref": ""},
        {"owner_ref": "a\nb"},
        {"owner_ref": "x" * 129},
        {"owner_ref": "a", "currency": "usd"},
        {"owner_ref": "a", "currency": "XQQ"},
        {"owner_ref": "a", "limit": "3"},
    ],
    ids=str,
)
async def test_a_question_that_is_none_is_refused(tenant: Tenant, query: dict[str, str]) -> None:
    """422, before the wallet is asked."""
    made = await tenant.new_wallet()
    answered = await tenant.owner.get(f"/v1/external-wallets/{made['id']}/balances", params=query)
    assert answered.status_code == 422


async def test_crm_v1_is_read_exactly(tenant: Tenant) -> None:
    """The older interface's numbers are text at their decimals here, without a detour through binary fractions."""
    row = b'{"id":"w1","external_user_id":"a1b2c3d4","amount":0.1,"currency":"USD","decimals":2}'
    body = b'{"data":[' + row + b'],"count":1}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with run_peer(answer(head + body)) as peer:
        made = await tenant.new_wallet(
            base_url=f"http://127.0.0.1:{peer.port}", protocol="crm-v1", api_key="an-own-key-of-24-bytes-or-more"
        )
        shown = await _read(tenant.owner, made)
        assert [(row["ledger"], row["wallet_id"]) for row in shown["data"]] == [("0.10", "w1")]
        assert b"key: an-own-key-of-24-bytes-or-more" in peer.requests[0]


async def _hang(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    await asyncio.Event().wait()


async def test_a_wallet_that_hangs_is_waited_for_as_long_as_its_own_limit(tenant: Tenant) -> None:
    """Then the caller is told; nothing waits for ever."""
    async with run_peer(_hang) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}", timeout_seconds=1)
        began = asyncio.get_running_loop().time()
        shown = await _read(tenant.owner, made)
        assert asyncio.get_running_loop().time() - began < 2
        assert shown["errors"][0]["code"] == "timeout"
