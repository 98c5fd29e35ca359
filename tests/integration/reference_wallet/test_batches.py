"""Calls that come at the same moment share a transaction: each has its own answer, whatever becomes of the others."""

import asyncio

import httpx2

from reference_wallet.app import create_app
from support.apps import on_socket
from support.reference_wallet import ReferenceWallet, WalletSystem, connected, order


async def test_one_request_sent_twenty_times_at_once_is_taken_once(system: WalletSystem) -> None:
    """The very same bytes, so that the nonce is the same: one is carried out and nineteen are refused, all in one batch."""
    headers = system.caller.signed_headers("PUT", "/v1/transfers/b1.d.1/cancel", b"")
    http = system.caller.http
    answers = await asyncio.gather(*(http.put("/v1/transfers/b1.d.1/cancel", headers=headers) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_a_refused_call_takes_none_of_its_neighbours_along(system: WalletSystem) -> None:
    """Other content under a known id is a conflict for that call alone."""
    await system.caller.put("b2.d.1", **(sent := order(amount="1.00")))
    calls = [
        *(system.caller.call("PUT", f"/v1/transfers/b2.d.{number}", order(amount="1.00")) for number in range(2, 12)),
        system.caller.call("PUT", "/v1/transfers/b2.d.1", {**sent, "amount": "2.00"}),
    ]
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [200] * 10 + [409]
    assert (await system.caller.balance())["ledger"] == "89.00"
    assert (await system.caller.feed())["latest_seq"] == 11


async def test_two_processes_on_one_database_never_overdraw(wallet: ReferenceWallet) -> None:
    """Fifty debits through two processes at once: ten are committed, and the feed has no gap."""
    system = await wallet.new_system()
    await system.open_wallet()
    async with on_socket(create_app(wallet.settings)) as url, connected(url, wallet.settings) as other:
        async with httpx2.AsyncClient(base_url=url, timeout=15, trust_env=False) as http:
            second = type(system.caller)(http=http, keys=system.caller.keys)
            callers = [system.caller, second]
            answers = await asyncio.gather(*(callers[n % 2].put(f"b3.d.{n}") for n in range(50)))
        assert other.url == url
    assert sorted(answer["state"] for answer in answers) == ["committed"] * 10 + ["rejected"] * 40
    feed = await system.caller.feed()
    assert [entry["seq"] for entry in feed["data"]] == list(range(1, 51))
    assert (await system.caller.balance())["ledger"] == "0.00"
