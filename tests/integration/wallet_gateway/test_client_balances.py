"""One client's balances over all wallets: asked at once, under one deadline, with a status for each."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from support.databases import Databases
from support.egress_peer import Peer, run_peer
from support.fake_wallet import FakeWallet
from support.gateway_service import GatewayService, Tenant, fresh_gateway_service

OWNER = "a1b2c3d4"
DEADLINE_SECONDS = 0.5


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[GatewayService]:
    """Return a gateway whose deadline is short."""
    async with fresh_gateway_service(databases, balances_deadline_seconds=DEADLINE_SECONDS) as running:
        yield running


def _wallet(amount: str) -> FakeWallet:
    wallet = FakeWallet()
    wallet.model.open_account("acct-1", amount, owner_ref=OWNER)
    return wallet


async def _ask(client: httpx2.AsyncClient, **query: str) -> dict[str, Any]:
    told = await client.get(f"/v1/clients/{OWNER}/balances", params=query)
    assert told.status_code == 200, told.text
    shown: dict[str, Any] = told.json()
    return shown


async def _hang(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    await asyncio.Event().wait()


async def test_the_view_says_which_wallets_are_asked(tenant: Tenant) -> None:
    """`home`, `external` or, by default, `all`; each balance says where it is."""
    async with (
        tenant.served_wallet(_wallet("1"), home=True) as (home, at_home),
        tenant.served_wallet(_wallet("2")) as (one, _),
        tenant.served_wallet(_wallet("3")) as (two, _),
    ):
        everything = await _ask(tenant.owner)
        expected = [("home", "1.00"), (one["id"], "2.00"), (two["id"], "3.00")]
        assert [(row["wallet"], row["ledger"]) for row in everything["data"]] == expected
        assert [(asked["wallet"], asked["status"]) for asked in everything["wallets"]] == [
            (wallet, "ok") for wallet, _ in expected
        ]
        assert everything["wallets"][0]["id"] == home["id"]
        assert (everything["view"], everything["partial"], everything["errors"]) == ("all", False, [])
        at_home.requests.clear()
        external = await _ask(tenant.owner, view="external")
        assert [row["wallet"] for row in external["data"]] == [one["id"], two["id"]]
        assert at_home.requests == []
        assert [row["wallet"] for row in (await _ask(tenant.owner, view="home"))["data"]] == ["home"]


async def test_one_that_hangs_costs_the_deadline_and_nothing_else(tenant: Tenant) -> None:
    """The others' balances are shown, the missing one is named, and the answer is no error."""
    async with run_peer(_hang) as peer, tenant.served_wallet(_wallet("2")) as (good, _):
        hung = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}", timeout_seconds=30)
        began = asyncio.get_running_loop().time()
        shown = await _ask(tenant.owner)
        assert asyncio.get_running_loop().time() - began < DEADLINE_SECONDS * 3
        assert [row["wallet"] for row in shown["data"]] == [good["id"]]
        assert shown["partial"] is True
        assert [(fault["wallet"], fault["code"]) for fault in shown["errors"]] == [(hung["id"], "timeout")]
        statuses = {asked["wallet"]: (asked["status"], asked["error_code"]) for asked in shown["wallets"]}
        assert statuses == {good["id"]: ("ok", None), hung["id"]: ("unavailable", "timeout")}


async def test_what_is_remembered_stands_in_marked(tenant: Tenant) -> None:
    """`stale`: shown with its age, and partial all the same."""
    async with tenant.served_wallet(_wallet("2"), balance_cache_seconds=1) as (made, server):
        await _ask(tenant.owner)
        server.wallet.faults.extend(["lost"] * 1000)
        async with asyncio.timeout(10):
            while not (shown := await _ask(tenant.owner))["partial"]:
                pass
        assert [(row["ledger"], row["source"]) for row in shown["data"]] == [("2.00", "cache")]
        assert shown["data"][0]["age_ms"] > 1000
        assert [asked["status"] for asked in shown["wallets"]] == ["stale"]
        assert shown["errors"][0]["wallet"] == made["id"]


async def test_a_disabled_wallet_is_named_and_not_asked(tenant: Tenant) -> None:
    """The sum over what is shown is not the whole, and that is said."""
    async with tenant.served_wallet(_wallet("2")) as (made, server):
        await tenant.owner.post(f"/v1/external-wallets/{made['id']}/disable")
        shown = await _ask(tenant.owner)
        assert (shown["data"], shown["partial"], server.requests) == ([], True, [])
        assert [asked["status"] for asked in shown["wallets"]] == ["disabled"]
        assert shown["errors"][0]["code"] == "wallet_disabled"


async def test_without_wallets_there_is_nothing_and_without_a_home_wallet_no_view_of_it(tenant: Tenant) -> None:
    """404 rather than a home wallet that seems to be empty."""
    assert await _ask(tenant.owner) == {
        "owner_ref": OWNER,
        "view": "all",
        "data": [],
        "wallets": [],
        "partial": False,
        "errors": [],
    }
    missing = await tenant.owner.get(f"/v1/clients/{OWNER}/balances", params={"view": "home"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_no_transaction_is_open_while_wallets_are_asked(service: GatewayService, tenant: Tenant) -> None:
    """A hung wallet holds no connection to Postgres."""
    arrived = asyncio.Event()

    async def hang(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        arrived.set()
        await _hang(peer, reader, writer)

    async with run_peer(hang) as peer:
        await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}")
        asking = asyncio.create_task(_ask(tenant.owner))
        async with asyncio.timeout(5):
            await arrived.wait()
        assert service.resources.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # the pool in use has it
        await asking


@pytest.mark.parametrize("path", ["", "a%09b", "a%7Fb", "x" * 129, "x/" * 65])
async def test_a_client_reference_that_is_none_is_refused(tenant: Tenant, path: str) -> None:
    """422, before any wallet is asked; a line feed is in no path at all."""
    answered = await tenant.owner.get(f"/v1/clients/{path}/balances")
    assert answered.status_code == 422
    assert (await tenant.owner.get("/v1/clients/a%0Ab/balances")).status_code == 404
    assert (await tenant.owner.get(f"/v1/clients/{OWNER}/balances", params={"view": "some"})).status_code == 422


async def test_a_client_is_named_with_any_character_that_a_name_has(tenant: Tenant) -> None:
    """A slash too, encoded as paths encode it, also where the rest of the name looks like this path."""
    for owner in ("a/b", "/", "desk/7/balances", "a b", "é", "100%", "?#"):
        wallet = FakeWallet()
        wallet.model.open_account("acct-1", "1", owner_ref=owner)
        async with tenant.served_wallet(wallet) as (made, _):
            told = await tenant.owner.get(f"/v1/clients/{quote(owner, safe='')}/balances")
            assert told.status_code == 200, told.text
            assert [row["owner_ref"] for row in told.json()["data"]] == [owner]
        assert (await tenant.owner.delete(f"/v1/external-wallets/{made['id']}")).status_code == 204
