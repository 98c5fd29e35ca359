"""No query of a worker grows with what waits for one webhook."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from support.engine import Dispatcher, event, plain
from webhook_dispatcher.lanes import health_repository, recovery_repository, repository
from webhook_dispatcher.lanes.leases import Leases
from webhook_dispatcher.lanes.repository import Limit

_WAITING = 100_000


@pytest.fixture
async def database(dispatcher: Dispatcher) -> AsyncIterator[Database]:
    """Return the pool of a worker: its statements are planned once."""
    opened = Database.open(dispatcher.settings.database_url, application_name="flat", plan_once=True)
    yield opened
    await opened.aclose()


@pytest.mark.parametrize(
    ("failures", "due_in", "condition", "claimed"),
    [
        (0, "-1 hour", "status = 'enabled'", 10),
        (1, "-1 hour", "status = 'enabled'", 5),
        (0, "1 hour", "status = 'enabled'", 0),
        (1, "1 hour", "status = 'enabled'", 0),
        (1, "-1 hour", "breaker_opened_at = now(), probe_at = now() + interval '1 hour'", 0),
        (1, "-1 hour", "breaker_opened_at = now(), probe_at = now()", 1),
        (0, "-1 hour", "status = 'disabled'", 0),
    ],
)
async def test_what_waits_for_one_webhook_is_not_read(
    dispatcher: Dispatcher, database: Database, *, failures: int, due_in: str, condition: str, claimed: int
) -> None:
    """100 000 deliveries, due or not, first attempts or retries, held or not: a look and a claim read a few dozen rows."""
    leases = Leases(database, name="flat", lease_seconds=60)
    await leases.renew(busy=())
    await dispatcher.new_hook()
    webhook: UUID = await dispatcher.database.fetchval("SELECT id FROM webhooks")
    # Planned while the table is empty, as in a new installation.
    await _look_and_claim(database, leases, webhook)
    await dispatcher.publish(event())
    await _fill(dispatcher, failures=failures, due_in=due_in, condition=condition)
    async with database.autocommit() as connection:
        before = await _tuples_read(connection)
    assert await _look_and_claim(database, leases, webhook) == claimed
    async with database.autocommit() as connection:
        assert await _tuples_read(connection) - before < 100


async def _fill(dispatcher: Dispatcher, *, failures: int, due_in: str, condition: str) -> None:
    """Let 100 000 deliveries wait in place of the one; what this reads is counted when the connection is closed."""
    connection = await asyncpg.connect(plain(dispatcher.settings.database_url))
    await connection.execute(
        f"""
        INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, failures, next_attempt_at)
        SELECT uuidv7(), d.webhook_id, d.event, d.tenant_id, d.environment, {failures}, now() + interval '{due_in}'
        FROM (SELECT * FROM deliveries OFFSET 0) d CROSS JOIN generate_series(1, {_WAITING});
        DELETE FROM deliveries WHERE id = (SELECT id FROM deliveries ORDER BY id LIMIT 1);
        UPDATE webhooks SET {condition};
        """  # noqa: S608 - constants of this file
    )
    await connection.close()


async def _look_and_claim(database: Database, leases: Leases, webhook: UUID) -> int:
    async with database.autocommit() as connection:
        await recovery_repository.find_due(connection, worker_id=leases.worker_id)
        await recovery_repository.recover_unknown(connection, worker_id=leases.worker_id)
        await health_repository.find_overview(connection, worker_id=leases.worker_id, oldest_max=10)
        limits = {webhook: Limit(count=10, retries=5, revision=1)}
        return len(await repository.claim(connection, worker_id=leases.worker_id, limits=limits))


async def _tuples_read(connection: AsyncConnection) -> int:
    """Return how many entries of deliveries' indexes and rows of its scans were read so far."""
    await connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    statement = """
        SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'deliveries')
            + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'deliveries')
    """
    read: Any = (await connection.exec_driver_sql(statement)).scalar_one()
    return int(read)
