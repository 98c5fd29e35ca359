"""A fresh dispatcher for each test, and an engine that runs where a test asks for one."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.engine import Dispatcher, engine_settings, running_dispatcher, running_engine
from webhook_dispatcher.lanes.engine import Engine


@pytest.fixture
async def dispatcher(databases: Databases, queue_url: str) -> AsyncIterator[Dispatcher]:
    """Return a dispatcher without a worker."""
    async with (
        databases.temporary("webhook_dispatcher") as url,
        running_dispatcher(engine_settings(url, queue_url)) as running,
    ):
        yield running


@pytest.fixture
async def engine(dispatcher: Dispatcher) -> AsyncIterator[Engine]:
    """Return an engine that runs beside the dispatcher."""
    async with running_engine(dispatcher.settings) as running:
        yield running
