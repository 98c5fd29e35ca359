"""A worker's lease: by its own clock it ends before others may begin, and given up it stays so."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from support.databases import Databases
from support.transfer_bench import Bench, transfer_bench
from wallet_gateway.transfers import lease_repository
from wallet_gateway.transfers.lease import Lease


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway without a worker."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


async def _is_over(bench: Bench, lease: Lease) -> bool:
    """Tell whether others may take what this worker has."""
    (row,) = await bench.service.rows(
        "SELECT expires_at <= now() AS is_over FROM transfer_workers WHERE id = :id", id=lease.worker_id
    )
    return bool(row.is_over)


async def test_it_counts_four_fifths_from_when_it_was_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may have written it as soon as it was asked, however late its answer comes."""
    clock = [100.0]
    lease = Lease(bench.service.resources.database, name="test", lease_seconds=10, clock=lambda: clock[0])
    assert not lease.is_valid()
    renew = lease_repository.renew_worker

    async def is_slow(connection: AsyncConnection, **values: Any) -> None:
        await renew(connection, **values)
        clock[0] += 5

    monkeypatch.setattr(lease_repository, "renew_worker", is_slow)
    await lease.renew()
    for moment, is_valid in ((105.0, True), (107.9, True), (108.0, False), (110.0, False)):
        clock[0] = moment
        assert lease.is_valid() is is_valid
    await lease.renew()
    assert lease.is_valid()


async def test_given_up_it_is_over_for_good(bench: Bench) -> None:
    """A renewal that was on its way when the worker stopped takes nothing back from whoever goes on."""
    lease = Lease(bench.service.resources.database, name="test", lease_seconds=60)
    await lease.renew()
    assert lease.is_valid()
    assert not await _is_over(bench, lease)
    await lease.give_up()
    assert not lease.is_valid()
    await lease.renew()
    assert not lease.is_valid()
    assert await _is_over(bench, lease)
