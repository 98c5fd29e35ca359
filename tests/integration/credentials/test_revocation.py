"""A revocation is in force everywhere in under a second: in every API process, and in the siblings."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from credentials.app import create_app
from credentials.resources import Resources, open_resources
from credentials.revocations.feed import POLL_SECONDS, TRUST_SECONDS, RevocationFeed
from credentials.verification import repository as verification_repository
from shared.access import FRESH_SECONDS, AccessClient
from shared.typeids import decode
from support.apps import client_of, on_socket
from support.credentials_service import CredentialsService
from support.served_time import ServedClock, served_clock

LIMIT_SECONDS = 1.0

Mutation = Callable[[CredentialsService, str, dict[str, Any]], Awaitable[httpx2.Response]]


async def _revoke(service: CredentialsService, tenant_id: str, key: dict[str, Any]) -> httpx2.Response:
    return await service.platform.post(f"/v1/api-keys/{key['id']}/revoke", headers={"x-tenant-id": tenant_id})


async def _delete(service: CredentialsService, tenant_id: str, key: dict[str, Any]) -> httpx2.Response:
    return await service.platform.delete(f"/v1/api-keys/{key['id']}", headers={"x-tenant-id": tenant_id})


async def _suspend(service: CredentialsService, tenant_id: str, _key: dict[str, Any]) -> httpx2.Response:
    return await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "suspended"})


MUTATIONS: dict[str, Mutation] = {"revoke": _revoke, "delete": _delete, "suspend": _suspend}


@pytest.fixture
async def second_process(service: CredentialsService) -> AsyncIterator[str]:
    """Return the base URL of another API process on the same database; it shares nothing else with the first."""
    async with on_socket(create_app(service.settings)) as url:
        yield url


def test_the_time_limits_add_up_to_less_than_a_second() -> None:
    """What one process may remember and what a sibling may remember, one on top of the other."""
    assert POLL_SECONDS < TRUST_SECONDS
    assert TRUST_SECONDS + FRESH_SECONDS < LIMIT_SECONDS


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_every_mutation_that_narrows_is_seen_by_all_in_under_a_second(
    service: CredentialsService, second_process: str, mutation: str
) -> None:
    """Both processes and two siblings of the second one are warm and asked without a pause; all deny within the second."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, roles=["owner"])
    async with AsyncExitStack() as stack:
        siblings = []
        for _ in range(2):
            sibling = AccessClient.open(second_process, SecretStr(service.service_key))
            stack.push_async_callback(sibling.aclose)
            siblings.append(sibling)
        direct = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=second_process, headers={"x-api-key": made["key"]})
        )
        first = service.client(made["key"])

        async def sibling_allows(sibling: AccessClient) -> bool:
            return await sibling.verify(made["key"], ip=None, scope="events:publish") is not None

        async def answers(client: httpx2.AsyncClient) -> bool:
            return (await client.get("/v1/whoami")).status_code == 200

        users: list[Callable[[], Awaitable[bool]]] = [
            lambda: answers(first),
            lambda: answers(direct),
            *(lambda sibling=sibling: sibling_allows(sibling) for sibling in siblings),
        ]
        assert all([await allows() for allows in users for _ in range(3)])
        clock = await stack.enter_async_context(served_clock())
        denials = [asyncio.create_task(_denied_at(allows, clock)) for allows in users]
        await asyncio.gather(*(allows() for allows in users))
        began = clock.now()
        assert (await MUTATIONS[mutation](service, tenant_id, made)).is_success
        committed = clock.now()
        ends = await asyncio.gather(*denials)
        print(f"{mutation}: denied after", *(f"{end - committed:.3f} s" for end in ends))  # noqa: T201 - shown by pytest -s: the live figure
        assert all(began <= end <= committed + LIMIT_SECONDS for end in ends)
        # Not one of them allows it again.
        assert not any([await allows() for allows in users for _ in range(3)])


async def test_the_process_that_revokes_denies_at_once(service: CredentialsService) -> None:
    """The request after the answer of the revocation is denied, without any waiting."""
    for mutation in MUTATIONS.values():
        tenant_id = await service.new_tenant()
        made = await service.new_key(tenant_id)
        key = service.client(made["key"])
        assert (await key.get("/v1/whoami")).status_code == 200
        await mutation(service, tenant_id, made)
        assert (await key.get("/v1/whoami")).status_code == 401


async def test_a_process_that_cannot_follow_the_feed_asks_postgres(service: CredentialsService) -> None:
    """With a feed that stands still, memory is not trusted, and a revocation elsewhere is seen at the next request."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    app = create_app(service.settings)
    async with app.router.lifespan_context(app):
        resources: Resources = app.state.resources
        key = client_of(app, headers={"x-api-key": made["key"]})
        assert (await key.get("/v1/whoami")).status_code == 200
        resources.feed._clock = lambda: time.monotonic() + 60.0
        resources.feed.look = _never  # type: ignore[method-assign]  # a follower that hangs
        assert not resources.feed.is_trusted()
        await _revoke(service, tenant_id, made)
        assert (await key.get("/v1/whoami")).status_code == 401


async def test_an_answer_overtaken_by_a_revocation_is_neither_given_nor_kept(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fill race: read, pause, revoke, resume: denied, and not remembered as valid."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    was_read, may_go_on = asyncio.Event(), asyncio.Event()
    find = verification_repository.find

    async def slow_find(*args: Any, **kwargs: Any) -> Any:
        found = await find(*args, **kwargs)
        if not was_read.is_set():
            was_read.set()
            await may_go_on.wait()
        return found

    access = service.resources.access
    monkeypatch.setattr(verification_repository, "find", slow_find)
    verifying = asyncio.create_task(access.judge(made["key"], ip=None))
    await was_read.wait()
    monkeypatch.setattr(verification_repository, "find", find)
    await _revoke(service, tenant_id, made)
    await service.resources.feed.look()
    may_go_on.set()
    assert (await verifying).principal is None
    assert (await access.judge(made["key"], ip=None)).principal is None


async def test_what_was_read_before_the_first_look_is_not_kept(service: CredentialsService) -> None:
    """Of the revocations before a process began to follow, it knows nothing: it reads again."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    async with open_resources(service.settings, serves=False) as fresh:
        assert (await fresh.access.judge(made["key"], ip=None)).principal is not None
        await _revoke(service, tenant_id, made)
        await fresh.feed.look()
        assert fresh.feed.is_trusted()
        assert (await fresh.access.judge(made["key"], ip=None)).principal is None


async def test_a_process_that_lies_behind_the_asking_sibling_reads_postgres(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sibling may have heard of a revocation from another process: its question says how far it has come."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    async with open_resources(service.settings, serves=False) as behind:
        await behind.feed.look()
        assert (await behind.access.judge(made["key"], ip=None)).principal is not None
        monkeypatch.setattr(behind.feed, "is_trusted", lambda: True)
        await _revoke(service, tenant_id, made)
        ahead = behind.feed.applied + 1
        assert (await behind.access.judge(made["key"], ip=None)).principal is not None
        assert (await behind.access.judge(made["key"], ip=None, min_sequence=ahead)).principal is None


async def test_sequences_become_visible_in_their_order(service: CredentialsService) -> None:
    """Of two transactions, the one with the larger number cannot commit first: it waits for the other."""
    database = service.resources.database
    target = (await service.new_key(None, kind="service"))["id"]
    other = (await service.new_key(None, kind="service"))["id"]
    order: list[str] = []
    async with database.transaction() as session:
        await _announce(service.resources.feed, session, target)
        later = asyncio.create_task(_announce_alone(service, other, order))
        await _until_somebody_waits(service)
        assert order == []
        order.append("first")
    await later
    assert order == ["first", "second"]


async def test_a_sequence_that_starts_anew_voids_everything_remembered(service: CredentialsService) -> None:
    """After a restore from a backup, numbers are given out again; nothing read before is used."""
    feed = service.resources.feed
    made = await service.new_key(None, kind="service")
    await service.resources.access.judge(made["key"], ip=None)
    epoch = feed.epoch
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql("DELETE FROM revocations")
        await connection.exec_driver_sql("UPDATE revocation_sequence SET value = 0")
    await _revoke_without_tenant(service, made)
    await feed.look()
    assert feed.epoch == epoch + 1
    assert (await service.resources.access.judge(made["key"], ip=None)).principal is None


async def _denied_at(allows: Callable[[], Awaitable[bool]], clock: ServedClock) -> float:
    """Ask without a pause until it is denied, and return when that was; the thread gives the others their turn."""
    async with asyncio.timeout(30):
        while await allows():
            await asyncio.to_thread(int)
    return clock.now()


async def _never() -> None:
    await asyncio.Event().wait()


async def _announce(feed: RevocationFeed, session: Any, key_id: str) -> None:
    await feed.announce(session, target_kind="credential", target_id=decode("key", key_id), reason="test")


async def _announce_alone(service: CredentialsService, key_id: str, order: list[str]) -> None:
    async with service.resources.database.transaction() as session:
        await _announce(service.resources.feed, session, key_id)
        order.append("second")


async def _until_somebody_waits(service: CredentialsService) -> None:
    """Return when a session waits for a lock on this database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10), service.resources.database.autocommit() as connection:
        while not (await connection.exec_driver_sql(waiting)).scalar():
            pass


async def _revoke_without_tenant(service: CredentialsService, key: dict[str, Any]) -> None:
    assert (await service.platform.post(f"/v1/api-keys/{key['id']}/revoke")).is_success
