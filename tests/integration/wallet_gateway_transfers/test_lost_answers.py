"""A worker that lives on after an outage of its database: what it was promised is written, and nothing is left lying with it."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids
from support.databases import Databases
from support.engine import until
from support.transfer_bench import Bench, crashing_engine, running_engine, transfer_bench
from wallet_gateway.transfers import engine_repository
from wallet_gateway.transfers.engine import Engine
from wallet_gateway.transfers.journey import Record
from wallet_gateway.transfers.recorder import Recorder
from wallet_gateway.transfers.transfer import Claimed

REPOSITORY = "wallet_gateway.transfers.engine_repository"


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway whose engines the tests run."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


async def test_a_lease_lost_between_intent_and_call_leaves_the_transfer_to_whoever_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent was committed late, the lease had run out, and was renewed: the same worker, alone, takes it again."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await bench.begin(home, partner)
    record, engines = engine_repository.record, list[Engine]()

    async def is_late(connection: AsyncConnection, records: Sequence[Record]) -> frozenset[UUID]:
        written = await record(connection, records)
        if engines and any(item.get("intent_step") for item in records):
            engines.pop()._lease._valid_until = -math.inf
        return written

    monkeypatch.setattr(f"{REPOSITORY}.record", is_late)
    async with running_engine(bench.service) as engine:
        engines.append(engine)
        transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "completed"
    first, *_ = transfer["steps"][0]["attempts"]
    assert (first["outcome"], first["code"]) == ("not_sent", "lease_lost")
    assert await partner.ledger() == Decimal("110.00")


async def test_a_move_that_is_refused_is_followed_by_no_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has the transfer by the time the intent is written: what was not committed is not sent either."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await bench.begin(home, partner)
    record, refused = engine_repository.record, list[bool]()

    async def is_late(connection: AsyncConnection, records: Sequence[Record]) -> frozenset[UUID]:
        if refused:
            return await record(connection, records)
        await bench.age(transfer_id, hours=0)  # another one has it: its fence is higher
        written = await record(connection, records)
        refused.append(not written)
        return written

    monkeypatch.setattr(f"{REPOSITORY}.record", is_late)
    async with crashing_engine(bench.service, at=99, moment="before it is sent") as client:
        transfer = await bench.ended(transfer_id)
    assert refused == [True]
    assert (transfer["status"], client.calls) == ("completed", 3)


async def test_a_move_is_tried_until_it_is_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is away before each writing, and after it: nothing is sent meanwhile, and each call is made once."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await bench.begin(home, partner)
    record, tries = engine_repository.record, list[int]()

    async def comes_and_goes(connection: AsyncConnection, records: Sequence[Record]) -> frozenset[UUID]:
        tries.append(client.calls)
        if len(tries) % 3 == 1:
            raise ConnectionResetError
        written = await record(connection, records)
        if len(tries) % 3 == 2:
            raise ConnectionResetError
        return written

    monkeypatch.setattr(f"{REPOSITORY}.record", comes_and_goes)
    async with crashing_engine(bench.service, at=99, moment="before it is sent") as client:
        transfer = await bench.ended(transfer_id)
    assert {len(step["attempts"]) for step in transfer["steps"]} == {1}
    # The end is seen as soon as it is committed; its repetition may still come.
    assert (transfer["status"], tries[:11]) == ("completed", [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3])


async def test_a_move_that_cannot_be_stored_stops_no_other(bench: Bench) -> None:
    """Of those that are written together one is refused for what it holds: it fails alone, and loudly."""
    home, partner = await bench.connect(home=True), await bench.connect()
    ids = [typeids.decode("tr", await bench.begin(home, partner)) for _ in range(3)]
    moves: list[Record] = [
        {"id": str(transfer_id), "fence": 0, "revision": 0, "outcome_unknown": False, "due_at": datetime.now(UTC)}
        | {"keeps": False, "status": "pending"}
        for transfer_id in ids
    ]
    moves[1]["status"] = "no status"
    recorder = Recorder(bench.service.resources.database)
    writing = asyncio.create_task(recorder.run())
    async with asyncio.timeout(20):
        written = await asyncio.gather(*(recorder.write(move) for move in moves), return_exceptions=True)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert [type(each) for each in written] == [bool, IntegrityError, bool]
    assert (written[0], written[2]) == (True, True)
    async with running_engine(bench.service):
        assert {(await bench.ended(typeids.encode("tr", each)))["status"] for each in ids} == {"completed"}


async def test_a_claim_whose_answer_is_lost_is_found_by_the_same_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows stand as this worker's, and it does not know: with no other worker about, they go on all the same."""
    home, partner = await bench.connect(home=True), await bench.connect()
    begun = [await bench.begin(home, partner, amount="1.00") for _ in range(3)]
    claim, lost = engine_repository.claim, list[Claimed]()

    async def loses(connection: AsyncConnection, **values: Any) -> list[Claimed]:
        claimed = await claim(connection, **values)
        if claimed and not lost:
            lost.extend(claimed)
            raise ConnectionResetError
        return claimed

    monkeypatch.setattr(f"{REPOSITORY}.claim", loses)
    async with running_engine(bench.service):
        ended = [await bench.ended(transfer_id) for transfer_id in begun]
    assert lost
    assert {transfer["status"] for transfer in ended} == {"completed"}
    assert {len(step["attempts"]) for transfer in ended for step in transfer["steps"]} == {1}


async def test_a_record_repeated_while_its_first_try_commits_counts_as_written(bench: Bench) -> None:
    """The repetition waits for the first try's lock, and finds what that has written; a lower fence finds nothing."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = typeids.decode("tr", await bench.begin(home, partner))
    (row,) = await bench.service.rows("SELECT fence, revision FROM transfers WHERE id = :id", id=transfer_id)
    move: Record = {
        "id": str(transfer_id),
        "fence": row.fence,
        "revision": row.revision,
        "status": "pending",
        "outcome_unknown": False,
        "due_at": datetime.now(UTC),
        "keeps": False,
    }

    async def repeat(fence: int) -> frozenset[UUID]:
        async with bench.service.resources.database.autocommit() as connection:
            return await engine_repository.record(connection, [{**move, "fence": fence}])

    async def is_waiting() -> bool:
        rows = await bench.service.rows(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(rows)

    async with bench.service.resources.database.transaction() as session:
        assert await engine_repository.record(await session.connection(), [move]) == {transfer_id}
        repetition = asyncio.create_task(repeat(row.fence))
        await until(is_waiting, what="the repetition waits")
    assert await repetition == {transfer_id}
    assert await repeat(row.fence - 1) == frozenset()
    async with running_engine(bench.service):
        assert (await bench.ended(typeids.encode("tr", transfer_id)))["status"] == "completed"
