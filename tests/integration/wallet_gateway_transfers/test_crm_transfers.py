"""Transfers with a wallet of the older protocol: one sending, and whatever is not a clean success is for a person."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from support.egress_peer import Peer, run_peer
from support.tcp_relay import TcpRelay
from support.transfer_bench import OWNER, Bench

WRITE_CALL = {
    "transfer_path": "/transfers",
    "method": "POST",
    "fields": {
        "transfer_id": "external_id",
        "op": "type",
        "owner_ref": "external_user_id",
        "amount": "amount",
        "currency": "currency",
    },
    "success_field": "status",
    "success_value": "done",
}
DONE: dict[str, Any] = {"status": "done"}


@dataclass(slots=True)
class OldWallet:
    """Answers each request with ``status`` and ``body``; None closes the connection instead."""

    body: dict[str, Any] | None = field(default_factory=lambda: DONE)
    status: int = 200
    orders: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        request = await peer.read_request(reader)
        self.orders.append(orjson.loads(request.partition(b"\r\n\r\n")[2]))
        if self.body is not None:
            raw = orjson.dumps(self.body)
            head = f"HTTP/1.1 {self.status} .\r\ncontent-length: {len(raw)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + raw)


async def _register(bench: Bench, url: str, *, step_seconds: int = 2) -> str:
    made = await bench.tenant.new_wallet(base_url=url, protocol="crm-v1", transfer_call=WRITE_CALL)
    await bench.service.rows(
        "UPDATE external_wallets SET step_seconds = :seconds WHERE base_url = :url", seconds=step_seconds, url=url
    )
    wallet: str = made["id"]
    return wallet


async def _move(bench: Bench, source: dict[str, str], target: dict[str, str]) -> dict[str, Any]:
    body = {"owner_ref": OWNER, "source": source, "target": target, "amount": "10.00", "currency": "USD"}
    answer = await bench.tenant.owner.post("/v1/transfers", json=body, headers={"idempotency-key": target["wallet"]})
    assert answer.status_code == 201, answer.text
    return await bench.ended(answer.json()["id"])


async def test_a_clean_success_completes_both_ways(bench: Bench) -> None:
    """The configured call is made once for each leg."""
    home, wallet = await bench.connect(home=True), OldWallet()
    async with run_peer(wallet.serve) as peer:
        old = {"wallet": await _register(bench, f"http://127.0.0.1:{peer.port}"), "account": "w1"}
        there = await _move(bench, home.side(), old)
        back = await _move(bench, old, home.side())
    assert (there["status"], back["status"]) == ("completed", "completed")
    assert [step["kind"] for step in back["steps"]] == ["debit", "credit"]
    assert [(order["type"], order["amount"], order["external_id"]) for order in wallet.orders] == [
        ("credit", "10.00", f"{there['id']}.credit.1"),
        ("debit", "10.00", f"{back['id']}.debit.1"),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, None), (500, DONE), (200, {"status": "failed"}), (200, {}), (422, {"status": "insufficient_funds"})],
)
async def test_every_other_outcome_goes_to_a_person_and_is_never_sent_again(
    bench: Bench, status: int, body: dict[str, Any] | None
) -> None:
    """No answer, an error, another word, also a refusal: nobody knows what it means. The funds stay held."""
    home, wallet = await bench.connect(home=True), OldWallet(body, status)
    async with run_peer(wallet.serve) as peer:
        old = {"wallet": await _register(bench, f"http://127.0.0.1:{peer.port}"), "account": "w1"}
        transfer = await _move(bench, home.side(), old)
    assert (transfer["status"], transfer["failure"]["code"]) == ("manual_review", "outcome_unknown")
    assert (transfer["outcome_unknown"], len(wallet.orders)) == (True, 1)
    assert str(await home.available()) == "90.00"
    resolved = await bench.resolve(transfer["id"], "failed")
    assert (resolved["status"], len(wallet.orders)) == ("failed", 1)


async def test_what_did_not_leave_is_sent_again(bench: Bench) -> None:
    """A refused connection is not an outcome: nothing of it is with the wallet."""
    home, wallet = await bench.connect(home=True), OldWallet()
    async with run_peer(wallet.serve) as peer:
        relay = TcpRelay(peer.port)
        await relay.open()
        await relay.shut()
        old = {"wallet": await _register(bench, f"http://127.0.0.1:{relay.port}", step_seconds=20), "account": "w1"}
        body = {"owner_ref": OWNER, "source": home.side(), "target": old, "amount": "10.00", "currency": "USD"}
        answer = await bench.tenant.owner.post("/v1/transfers", json=body, headers={"idempotency-key": "k"})
        await bench.attempted(answer.json()["id"], ("credit", "put", "not_sent"))
        await relay.open()
        transfer = await bench.ended(answer.json()["id"])
        await relay.shut()
    assert (transfer["status"], len(wallet.orders)) == ("completed", 1)


@pytest.fixture
async def bench(bench: Bench) -> Bench:
    """Return the bench without its check: the old wallet keeps no books that could be compared."""
    bench.checks = False
    return bench
