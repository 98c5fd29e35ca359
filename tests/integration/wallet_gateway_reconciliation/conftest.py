"""A gateway with an engine and a reference wallet for each test module that asks; books of a new tenant for each test."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.reconciliation_books import Books, books_of
from support.transfer_bench import Bench, transfer_bench


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a running gateway with one engine, which reconciles nothing by itself."""
    async with transfer_bench(databases, valkey_url) as made:
        yield made


@pytest.fixture
async def books(running: Bench) -> Books:
    """Return the books of a new tenant."""
    return await books_of(running)
