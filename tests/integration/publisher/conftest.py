"""A running dispatcher with a tenant, and an outbox in a database of its own."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared import typeids
from shared.database import Database
from shared.principals import Realm
from shared.publisher.repository import TABLE_DDL, WAITING_DDL
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


@pytest.fixture
def realm(tenant: Tenant) -> Realm:
    return Realm(tenant_id=typeids.decode("ten", tenant.id), environment="live")


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """Return the database of a system that has an outbox, and a table of its own."""
    async with databases.temporary() as url:
        opened = Database.open(url.replace("postgresql://", "postgresql+asyncpg://"), application_name="outbox")
        async with opened.connection() as connection:
            for statement in (TABLE_DDL, WAITING_DDL, "CREATE TABLE payouts (id text PRIMARY KEY)"):
                await connection.execute(text(statement))
        yield opened
        await opened.aclose()
