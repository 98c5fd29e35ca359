"""One migrated database and one running API process for each test module; a tenant for each test."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.dispatcher_service import DispatcherService, Tenant, fresh_dispatcher_service


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[DispatcherService]:
    """Return a running dispatcher."""
    async with fresh_dispatcher_service(databases) as running:
        yield running


@pytest.fixture
async def tenant(service: DispatcherService) -> Tenant:
    """Return a new tenant: its realm is empty."""
    return await service.new_tenant()
