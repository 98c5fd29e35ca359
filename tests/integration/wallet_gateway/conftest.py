"""One migrated database and one running API process for each test module that asks; a tenant for each test."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.gateway_service import GatewayService, Tenant, fresh_gateway_service


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[GatewayService]:
    """Return a running gateway."""
    async with fresh_gateway_service(databases) as running:
        yield running


@pytest.fixture
async def tenant(service: GatewayService) -> Tenant:
    """Return a new tenant: its realm is empty."""
    return await service.new_tenant()
