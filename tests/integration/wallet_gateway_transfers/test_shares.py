"""No wallet has more of a worker than its share: one that takes long, or never answers, leaves room for the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from support.databases import Databases
from support.engine import until
from support.tcp_relay import tcp_relay
from support.transfer_bench import Bench, running_engine, transfer_bench
from wallet_gateway.transfers import engine

_SLOW = 20
_LOOKS_SECONDS = 2.5
"""Two looks of a worker for what is due."""


@pytest.fixture(scope="module")
async def without_engine(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway without a worker."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


async def test_a_slow_wallet_leaves_room_for_the_others(without_engine: Bench) -> None:
    """Twenty transfers to a wallet that takes seconds, and a worker for eight: one to another wallet ends before any of them."""
    bench = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    home, slow, quick = await bench.connect(home=True), await bench.connect(), await bench.connect()
    await slow.system.arm("delay", operations=["put"], count=None, when="before", delay_ms=2500)
    async with running_engine(bench.service, transfer_slots=8, wallet_writes_in_flight=2):
        many = [await bench.begin(home, slow, amount="0.01") for _ in range(_SLOW)]
        others = [await bench.move(home, quick, amount="0.01") for _ in range(3)]
        (row,) = await bench.service.rows("SELECT count(*) AS claimed FROM transfers WHERE worker_id IS NOT NULL")
        assert 1 <= row.claimed <= 4, "two at the slow wallet, and two that were on their way to it"
        await slow.system.disarm()
        ended = await asyncio.gather(*(bench.ended(transfer_id) for transfer_id in many))
    assert {transfer["status"] for transfer in [*ended, *others]} == {"completed"}
    first = min(datetime.fromisoformat(transfer["ended_at"]) for transfer in ended)
    assert max(datetime.fromisoformat(transfer["ended_at"]) for transfer in others) < first
    await bench.check()


async def test_a_slow_source_leaves_room_for_the_others(without_engine: Bench) -> None:
    """Twenty transfers from it are due longest, more than a look takes: what is due from another wallet is found all the same."""
    bench = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    home, slow, quick = await bench.connect(home=True), await bench.connect(), await bench.connect()
    await slow.system.arm("delay", operations=["put"], count=None, when="before", delay_ms=2500)
    many = [await bench.begin(slow, home, amount="0.01") for _ in range(_SLOW)]
    others = [await bench.begin(quick, home, amount="0.01") for _ in range(3)]
    async with running_engine(bench.service, transfer_slots=8, wallet_writes_in_flight=2):
        quickly = [await bench.ended(transfer_id) for transfer_id in others]
        await slow.system.disarm()
        ended = [await bench.ended(transfer_id) for transfer_id in many]
    assert {transfer["status"] for transfer in [*ended, *quickly]} == {"completed"}
    first = min(datetime.fromisoformat(transfer["ended_at"]) for transfer in ended)
    assert max(datetime.fromisoformat(transfer["ended_at"]) for transfer in quickly) < first
    await bench.check()


async def test_a_wallet_that_does_not_say_what_it_can_do_leaves_room_for_the_others(without_engine: Bench) -> None:
    """Transfers wait for its answer, and stand at that wallet meanwhile, not at their source: of home there is room."""
    bench = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    async with tcp_relay(int(bench.reference.url.rpartition(":")[2])) as relay:
        home, quick = await bench.connect(home=True), await bench.connect()
        silent = await bench.connect(base_url=f"http://127.0.0.1:{relay.port}")
        relay.hold()
        async with running_engine(bench.service, wallet_writes_in_flight=2):
            many = [await bench.begin(home, silent, amount="0.01") for _ in range(8)]
            others = [await bench.move(home, quick, amount="0.01") for _ in range(3)]
            still = [(await bench.shown(transfer_id))["steps"] for transfer_id in many]
            relay.go_on()
            ended = [await bench.ended(transfer_id) for transfer_id in many]
    assert still == [[]] * len(many)
    assert {transfer["status"] for transfer in [*ended, *others]} == {"completed"}
    await bench.check()


async def test_a_tenant_with_many_wallets_that_hang_leaves_room_for_the_others(without_engine: Bench) -> None:
    """Six wallets, each with its share of a worker for eight: the tenant has half of it, and another one's transfer ends."""
    hung = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    other = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    home, partner = await other.connect(home=True), await other.connect()
    async with tcp_relay(int(hung.reference.url.rpartition(":")[2])) as relay:
        source = await hung.connect(home=True)
        base_url = f"http://127.0.0.1:{relay.port}"
        silent = [await hung.connect(base_url=base_url, timeout_seconds=30) for _ in range(6)]
        relay.hold()
        async with running_engine(other.service, transfer_slots=8, tenant_transfer_slots=4, wallet_writes_in_flight=2):
            many = [await hung.begin(source, target, amount="0.01") for target in silent for _ in range(3)]
            await _as_many_as_ever(hung)
            moved = [await other.move(home, partner, amount="0.01") for _ in range(3)]
            still = [(await hung.shown(transfer_id))["status"] for transfer_id in many]
            relay.go_on()
            ended = [await hung.ended(transfer_id, seconds=60) for transfer_id in many]
    assert still == ["pending"] * len(many)
    assert {transfer["status"] for transfer in [*moved, *ended]} == {"completed"}
    await hung.check()


async def test_what_found_no_room_is_taken_as_soon_as_there_is_some(
    without_engine: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty transfers, two at a time, and a worker that looks every ten minutes: none waits for that."""
    monkeypatch.setattr(engine, "RENEW_SECONDS", 600.0)
    bench = replace(without_engine, tenant=await without_engine.service.new_tenant(), places=[])
    home, partner = await bench.connect(home=True), await bench.connect()
    async with running_engine(bench.service, wallet_writes_in_flight=2, transfer_lease_seconds=3600.0):
        many = await asyncio.gather(*(bench.begin(home, partner, amount="0.01") for _ in range(20)))
        ended = [await bench.ended(transfer_id, seconds=60) for transfer_id in many]
    assert {transfer["status"] for transfer in ended} == {"completed"}
    await bench.check()


async def _as_many_as_ever(bench: Bench) -> None:
    """Wait until the workers carry out as many transfers as they will: for two looks no more are claimed."""
    seen: list[tuple[int, float]] = [(-1, 0.0)]

    async def are_settled() -> bool:
        (row,) = await bench.service.rows("SELECT count(*) AS claimed FROM transfers WHERE worker_id IS NOT NULL")
        if row.claimed != seen[-1][0]:
            seen.append((row.claimed, time.monotonic()))
        return time.monotonic() - seen[-1][1] > _LOOKS_SECONDS

    await until(are_settled, what="no more transfers are claimed")
