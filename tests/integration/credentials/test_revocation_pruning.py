"""Rows of the feed are kept for a day; whoever lies behind what is gone starts anew, and trusts nothing from before."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from credentials.resources import Resources, open_resources
from credentials.revocations import repository
from credentials.revocations.tasks import KEPT_HOURS, prune_revocations
from shared.access.feed import FeedFollower
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases


@pytest.fixture
async def service(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a service on a database of its own."""
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as running:
        yield running


async def age(service: CredentialsService, *, hours: int, up_to: int = 2**62) -> None:
    """Make rows older than they are."""
    async with service.resources.database.connection() as connection:
        statement = "UPDATE revocations SET at = at - make_interval(hours => $1) WHERE sequence <= $2"
        await connection.exec_driver_sql(statement, (hours, up_to))


async def sequences(service: CredentialsService) -> list[int]:
    """Return which rows there are."""
    async with service.resources.database.autocommit() as connection:
        return [row.sequence for row in await repository.after(connection, sequence=0, limit=1_000)]


async def revoke(service: CredentialsService, key_id: str, tenant_id: str) -> None:
    """Revoke a key, which adds a row."""
    answer = await service.platform.post(f"/v1/api-keys/{key_id}/revoke", headers={"x-tenant-id": tenant_id})
    assert answer.is_success


async def several(service: CredentialsService, count: int = 3) -> None:
    """Add rows that matter to nobody here."""
    tenant_id = await service.new_tenant()
    for _ in range(count):
        await revoke(service, (await service.new_key(tenant_id))["id"], tenant_id)


async def prune(resources: Resources) -> None:
    """Run the job."""
    await prune_revocations({"resources": resources})


async def test_what_is_old_goes_and_the_newest_row_stays(service: CredentialsService) -> None:
    """However old that one is: it is how a follower sees that it lies behind."""
    await several(service, 5)
    await prune(service.resources)
    assert await sequences(service) == [1, 2, 3, 4, 5]
    await age(service, hours=KEPT_HOURS + 1, up_to=3)
    await prune(service.resources)
    assert await sequences(service) == [4, 5]
    await age(service, hours=KEPT_HOURS + 1)
    await prune(service.resources)
    assert await sequences(service) == [5]
    await several(service, 1)
    assert await sequences(service) == [5, 6]


async def test_no_hole_is_made_where_times_are_out_of_order(service: CredentialsService) -> None:
    """A row's time is when its transaction began: one that is old among younger ones stays as long as those."""
    await several(service, 4)
    await age(service, hours=KEPT_HOURS + 1, up_to=1)
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql("UPDATE revocations SET at = at - interval '30 days' WHERE sequence = 3")
    await prune(service.resources)
    assert await sequences(service) == [2, 3, 4]


@pytest.mark.parametrize("afterwards", [0, 2])
async def test_a_process_behind_what_is_gone_trusts_nothing_it_remembers(
    service: CredentialsService, afterwards: int
) -> None:
    """It was stopped while a key that it remembers was revoked and that row pruned: the key is denied all the same."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    async with AsyncExitStack() as stack:
        stopped = await stack.enter_async_context(open_resources(service.settings, serves=False))
        await several(service, 1)
        await stopped.feed.look()
        assert (await stopped.access.judge(made["key"], ip=None)).principal is not None
        epoch = stopped.feed.epoch
        await revoke(service, made["id"], tenant_id)
        await several(service, 1)
        await age(service, hours=KEPT_HOURS + 1)
        await several(service, afterwards)
        await prune(service.resources)
        await stopped.feed.look()
        assert stopped.feed.is_trusted()
        assert stopped.feed.epoch == epoch + 1
        assert stopped.feed.applied == (await sequences(service))[-1]
        assert (await stopped.access.judge(made["key"], ip=None)).principal is None


@pytest.mark.parametrize("afterwards", [0, 2])
async def test_a_sibling_behind_what_is_gone_drops_everything(service: CredentialsService, afterwards: int) -> None:
    """And follows on from where the feed stands."""
    dropped: list[tuple[str, UUID, int]] = []
    all_dropped_at: list[int] = []
    async with service.client(service.service_key) as http:
        follower = FeedFollower(
            http,
            service="test",
            instance="1",
            drop=lambda *target: dropped.append(target),
            drop_all=all_dropped_at.append,
        )
        await several(service)
        await follower.ask(wait_seconds=0)
        assert all_dropped_at == [3]
        await several(service)
        await age(service, hours=KEPT_HOURS + 1)
        await several(service, afterwards)
        await prune(service.resources)
        await follower.ask(wait_seconds=0)
        assert all_dropped_at == [3, 6 + afterwards]
        assert (follower.applied, follower.is_live()) == (6 + afterwards, True)
        await several(service, 1)
        await follower.ask(wait_seconds=0)
        assert [sequence for _, _, sequence in dropped] == [7 + afterwards]
