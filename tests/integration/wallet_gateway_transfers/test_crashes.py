"""A worker that goes down at any point, two workers at once, and a queue that forgets: one effect, and nothing is left lying."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from shared import typeids
from support.crashing_client import CrashingClient, Moment
from support.databases import Databases
from support.egress_peer import answer, run_peer
from support.sibling_service import NOBODY_LISTENS
from support.transfer_bench import Bench, Place, crashing_engine, running_engine, transfer_bench
from wallet_gateway.transfers import engine_repository, lease_repository

WRITE_CALL = {
    "transfer_path": "/transfers",
    "method": "POST",
    "fields": {"op": "type", "owner_ref": "user", "amount": "amount", "currency": "currency"},
    "success_field": "done",
    "success_value": True,
}


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway whose engines the tests run."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


@pytest.mark.parametrize("moment", ["before it is sent", "after it is answered"])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("from_home", [True, False])
async def test_a_worker_that_goes_down_at_any_call_is_replaced(
    bench: Bench, call: int, moment: Moment, *, from_home: bool
) -> None:
    """After intent and before the send, after the answer and before the commit: at hold, credit and commit, both ways."""
    home, partner = await bench.connect(home=True), await bench.connect()
    pair = (home, partner) if from_home else (partner, home)
    async with crashing_engine(bench.service, at=call, moment=moment) as client:
        transfer_id = await bench.begin(*pair)
        await client.crashed.wait()
    async with running_engine(bench.service):
        transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    crashed = transfer["steps"][call - 1]
    assert (crashed["attempts"][0]["outcome"], crashed["attempts"][0]["code"]) == ("unknown", "interrupted")
    assert len(crashed["attempts"]) == 2
    assert await pair[1].ledger() == Decimal("110.00")


@pytest.mark.parametrize(("moment", "sent"), [("before it is sent", 0), ("after it is answered", 1)])
async def test_what_cannot_be_repeated_is_left_to_a_person(bench: Bench, moment: Moment, sent: int) -> None:
    """crm-v1: whoever takes over cannot know whether the call has left, and never makes it again."""
    home, done = await bench.connect(home=True), b'{"done":true}'
    async with run_peer(answer(b"HTTP/1.1 200 .\r\ncontent-length: %d\r\n\r\n" % len(done) + done)) as peer:
        made = await bench.tenant.new_wallet(
            base_url=f"http://127.0.0.1:{peer.port}", protocol="crm-v1", transfer_call=WRITE_CALL
        )
        old = Place(wallet=made["id"], id=typeids.decode("ew", made["id"]), system=home.system)
        async with crashing_engine(bench.service, at=2, moment=moment) as client:
            transfer_id = await bench.begin(home, old)
            await client.crashed.wait()
        async with running_engine(bench.service):
            transfer = await bench.ended(transfer_id)
        assert (transfer["status"], transfer["failure"]["code"]) == ("manual_review", "outcome_unknown")
        assert len(peer.requests) == sent
    assert await home.available() == Decimal("90.00")
    bench.checks = False  # the old wallet keeps no books that could be compared


async def test_what_was_accepted_while_no_worker_ran_is_found(bench: Bench) -> None:
    """The hint was lost, and the look of each second finds it."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await bench.begin(home, partner)
    async with running_engine(bench.service):
        assert (await bench.ended(transfer_id))["status"] == "completed"


async def test_without_the_queue_transfers_end_and_waiting_is_answered(bench: Bench) -> None:
    """Valkey carries hints alone: a worker that cannot reach it finds what is due all the same."""
    home, partner = await bench.connect(home=True), await bench.connect()
    async with running_engine(bench.service, queue_url=NOBODY_LISTENS):
        answer = await bench.post(home, partner, wait_ms=10_000)
    assert answer.json()["status"] == "completed"


async def test_two_workers_send_each_step_once(bench: Bench) -> None:
    """Each transfer is one worker's."""
    home, partner = await bench.connect(home=True, balance="100.00"), await bench.connect()
    async with running_engine(bench.service), running_engine(bench.service):
        begun = await asyncio.gather(*(bench.begin(home, partner, amount="1.00") for _ in range(40)))
        ended = [await bench.ended(transfer_id) for transfer_id in begun]
    assert {transfer["status"] for transfer in ended} == {"completed"}
    assert {len(step["attempts"]) for transfer in ended for step in transfer["steps"]} == {1}


async def test_a_worker_that_was_taken_for_dead_cannot_write(bench: Bench) -> None:
    """It hears its answer after another worker has taken the transfer over, and what it would write is refused."""
    home, partner = await bench.connect(home=True), await bench.connect()
    async with running_engine(bench.service):
        await partner.system.arm("delay", operations=["put"], when="after", delay_ms=1200)
        transfer_id = await bench.begin(home, partner)
        await bench.step_of(transfer_id, "credit")
        await bench.age(transfer_id, hours=0)  # another one has it: its fence is higher
        transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    assert transfer["steps"][1]["attempts"][0]["code"] == "interrupted"


async def test_what_is_written_counts_once_and_only_under_the_latest_fence(bench: Bench) -> None:
    """Another worker has claimed the transfer and written nothing yet: the first one's record is refused all the same.

    Nor does it give up what is no longer its own; and what has ended is never written again.
    """
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = typeids.decode("tr", await bench.begin(home, partner))
    database, workers = bench.service.resources.database, [typeids.new_id(), typeids.new_id()]
    async with database.autocommit() as connection:
        claims = []
        for worker in workers:
            await lease_repository.renew_worker(connection, worker_id=worker, name="test", lease_seconds=60)
            claims += await engine_repository.claim(connection, worker_id=worker, limit=1)
            await lease_repository.end_worker(connection, worker_id=worker)
        first, second = (claimed for claimed in claims if claimed.transfer.id == transfer_id)
        records = [
            {"id": str(transfer_id), "fence": claimed.fence, "revision": claimed.revision, "status": "pending"}
            | {"outcome_unknown": False, "due_at": datetime.now(UTC), "keeps": False}
            for claimed in (first, second)
        ]
        assert (first.revision, first.fence + 1) == (second.revision, second.fence)
        assert await engine_repository.record(connection, [records[0]]) == frozenset()
        await engine_repository.let_go(connection, transfer_id=transfer_id, fence=first.fence, seconds=0)
        (row,) = await bench.service.rows("SELECT worker_id FROM transfers WHERE id = :id", id=transfer_id)
        assert row.worker_id == workers[1]
        assert await engine_repository.record(connection, [records[1]]) == {transfer_id}
        assert await engine_repository.record(connection, [records[1]]) == {transfer_id}
    (row,) = await bench.service.rows("SELECT revision FROM transfers WHERE id = :id", id=transfer_id)
    assert row.revision == second.revision + 1
    async with running_engine(bench.service):
        await bench.ended(typeids.encode("tr", transfer_id))
    (row,) = await bench.service.rows("SELECT fence, revision FROM transfers WHERE id = :id", id=transfer_id)
    async with database.autocommit() as connection:
        assert not await engine_repository.record(connection, [{**records[1], **row._mapping}]), "it has ended"


async def test_an_orderly_stop_hears_out_what_is_in_flight(bench: Bench) -> None:
    """The call in flight is written down, the next one is left to the next worker, which begins at once."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await home.system.arm("delay", operations=["put"], when="after", delay_ms=700)
    async with running_engine(bench.service):
        transfer_id = await bench.begin(home, partner)
        await bench.step_of(transfer_id, "hold")
    stopped = await bench.shown(transfer_id)
    assert [call[2] for call in bench.attempts(stopped)] == ["definitive"]
    assert stopped["status"] == "pending"
    async with running_engine(bench.service):
        transfer = await bench.ended(transfer_id)
    assert {len(step["attempts"]) for step in transfer["steps"]} == {1}


async def test_a_stop_that_takes_longer_than_the_lease_keeps_what_is_in_flight(bench: Bench) -> None:
    """Another worker is there, and does not take over what the one that stops still hears out."""
    home, partner = await bench.connect(home=True), await bench.connect()
    async with running_engine(bench.service, transfer_lease_seconds=2.0) as stopping:
        await home.system.arm("delay", operations=["put"], when="after", delay_ms=4500)
        transfer_id = await bench.begin(home, partner)
        await bench.step_of(transfer_id, "hold")
        async with running_engine(bench.service):
            await stopping.stop()
            transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    assert [call[2] for call in bench.attempts(transfer)] == ["definitive"] * 3


async def test_a_fault_of_ours_puts_one_transfer_off_and_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given back, and taken again later."""
    home, partner = await bench.connect(home=True), await bench.connect()
    monkeypatch.setattr("wallet_gateway.transfers.engine.OWN_FAULT_SECONDS", 0.1)
    client: list[CrashingClient] = []

    async def fails(self: CrashingClient) -> None:
        client.append(self)
        raise ZeroDivisionError

    monkeypatch.setattr(CrashingClient, "_go_down", fails)
    async with crashing_engine(bench.service, at=2, moment="after it is answered"):
        transfers: list[dict[str, Any]] = [await bench.move(home, partner) for _ in range(2)]
    assert [transfer["status"] for transfer in transfers] == ["completed", "completed"]
    assert len(client) == 1
