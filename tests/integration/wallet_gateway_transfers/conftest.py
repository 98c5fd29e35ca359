"""A gateway with an engine and a reference wallet for each test module that asks; a tenant for each test."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from support.databases import Databases
from support.transfer_bench import Bench, transfer_bench


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a running gateway with one engine."""
    async with transfer_bench(databases, valkey_url) as made:
        yield made


@pytest.fixture
async def bench(running: Bench) -> AsyncIterator[Bench]:
    """Return the bench with a new tenant; afterwards no money is missing."""
    made = replace(running, tenant=await running.service.new_tenant(), places=[])
    yield made
    await made.check()
