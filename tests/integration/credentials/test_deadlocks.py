"""Transactions that wait for one another: ending many texts crosses no revocation, and who loses a deadlock tries again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.peppers.service import retire
from credentials.resources import Resources, open_resources
from credentials.revocations import repository as revocations
from shared import typeids
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.peppers import NEW, rotated

_RIVAL = Actor(kind="test", id="rival")


@pytest.fixture
async def before(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a service on a database of its own, under its first pepper."""
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as running:
        yield running


async def record_of(session: AsyncSession, tenant_id: str) -> None:
    """Append something to the tenant's chain, whose head is held from now on."""
    target = Target(kind="tenant", id=tenant_id, tenant_id=typeids.decode("ten", tenant_id))
    await record(session, action="tenant.updated", actor=_RIVAL, target=target)


async def until_somebody_waits(resources: Resources) -> None:
    """Return as soon as a transaction of this database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10), resources.database.autocommit() as connection:
        while not await connection.scalar(text(waiting)):
            pass


async def test_ending_many_texts_crosses_no_revocation(before: CredentialsService) -> None:
    """A revocation that holds its tenant's chain gets the feed's counter, however many texts are being ended meanwhile."""
    tenants = [await before.new_tenant() for _ in range(2)]
    keys = [await before.new_key(tenant_id) for tenant_id in tenants]
    async with open_resources(rotated(before.settings, NEW, "p1"), serves=False) as resources:
        async with before.resources.database.transaction() as rival:
            # If these two crossed, it would be this one that is rolled back.
            await rival.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            await record_of(rival, tenants[1])
            ending = asyncio.create_task(retire(resources, pepper_id="p1", force=True))
            await until_somebody_waits(before.resources)
            later = typeids.decode("key", keys[1]["id"])
            await revocations.append(rival, target_kind="credential", target_id=later, reason="api_key.revoked")
        # The two keys, their tenants' security tokens, the platform's two.
        assert await ending == 6


async def test_a_command_that_loses_a_deadlock_tries_again(before: CredentialsService) -> None:
    """It is rolled back whole, and then does what it was about to do."""
    tenant_id = await before.new_tenant()
    await before.new_key(tenant_id)
    async with open_resources(rotated(before.settings, NEW, "p1"), serves=False) as resources:
        async with before.resources.database.transaction() as rival:
            await _let_others_lose(rival)
            await record_of(rival, tenant_id)
            ending = asyncio.create_task(retire(resources, pepper_id="p1", force=True))
            await until_somebody_waits(before.resources)
            await _lock_texts(rival)
        assert await ending == 4


async def test_a_request_that_loses_a_deadlock_is_told_to_try_again(before: CredentialsService) -> None:
    """503 with Retry-After, nothing done; the same request passes afterwards."""
    tenant_id = await before.new_tenant()
    made = await before.new_key(tenant_id)
    owner = await before.new_owner(tenant_id)
    revoke = f"/v1/api-keys/{made['id']}/revoke"
    async with before.resources.database.transaction() as rival:
        await _let_others_lose(rival)
        await record_of(rival, tenant_id)
        revoking = asyncio.create_task(owner.post(revoke))
        await until_somebody_waits(before.resources)
        await _lock_texts(rival)
    answer = await revoking
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["status"] == "active"
    assert (await owner.post(revoke)).status_code == 200


async def _let_others_lose(session: AsyncSession) -> None:
    # Whoever waited longest than its timeout finds the deadlock, and is the one that is rolled back.
    await session.execute(text("SET LOCAL deadlock_timeout = '20s'"))


async def _lock_texts(session: AsyncSession) -> None:
    """Take every text: also the one that the other transaction holds while it waits for this one."""
    for table in ("api_key_versions", "security_token_versions"):
        await session.execute(text(f"SELECT FROM {table} FOR UPDATE"))
