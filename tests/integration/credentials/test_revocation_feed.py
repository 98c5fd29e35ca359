"""``GET /v1/revocations``: the ordered feed, its long poll, its hints, and the figures of those who follow it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from credentials.app import create_app
from credentials.resources import Resources
from credentials.revocations import feed as feed_module
from credentials.revocations.feed import RevocationFeed
from credentials.revocations.hints import CHANNEL
from shared.access import AccessClient
from shared.access.feed import TRUST_SECONDS
from shared.queue import open_queue
from support.apps import client_of, on_socket
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.served_time import served_clock

LONG_MS = 10_000


async def revoke_one(service: CredentialsService) -> str:
    """Revoke a new platform key and return its id."""
    made = await service.new_key(None, kind="service")
    assert (await service.platform.post(f"/v1/api-keys/{made['id']}/revoke")).is_success
    return str(made["id"])


async def read(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    """Read the feed."""
    answer = await client.get("/v1/revocations", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_rows_come_in_their_order_from_where_the_caller_stands(service: CredentialsService) -> None:
    """Without ``after`` only where the feed stands; with it all that follows, oldest first, without a gap."""
    siblings = service.client(service.service_key)
    start = await read(siblings)
    assert start["data"] == []
    ids = [await revoke_one(service) for _ in range(3)]
    after = start["sequence"]
    answer = await read(siblings, after=after)
    assert [row["target_id"] for row in answer["data"]] == ids
    assert [row["sequence"] for row in answer["data"]] == [after + 1, after + 2, after + 3]
    assert answer["sequence"] == after + 3
    assert {row["reason"] for row in answer["data"]} == {"api_key.revoked"}
    assert all(0 <= row["age_ms"] < 60_000 for row in answer["data"])
    rest = await read(siblings, after=after + 2)
    assert [row["target_id"] for row in rest["data"]] == ids[2:]


async def test_a_long_answer_is_cut_and_says_that_there_is_more(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last row's sequence is below the feed's."""
    monkeypatch.setattr(feed_module, "ROWS_MAX", 2)
    siblings = service.client(service.service_key)
    after = (await read(siblings))["sequence"]
    for _ in range(3):
        await revoke_one(service)
    answer = await read(siblings, after=after)
    assert [row["sequence"] for row in answer["data"]] == [after + 1, after + 2]
    assert answer["sequence"] == after + 3


async def test_a_waiting_poll_is_woken_by_the_commit(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the row: not at the end of its wait, nor at the next turn of the process, here an hour away."""
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 3_600.0)
    app = create_app(service.settings)
    async with app.router.lifespan_context(app):
        siblings = client_of(app, headers={"x-api-key": service.service_key})
        platform = client_of(app, headers={"x-api-key": service.platform_key})
        made = await service.new_key(None, kind="service")
        after = (await read(siblings))["sequence"]
        polling = asyncio.create_task(read(siblings, after=after, wait_ms=LONG_MS))
        began = time.monotonic()
        assert (await platform.post(f"/v1/api-keys/{made['id']}/revoke")).is_success
        answer = await polling
    assert time.monotonic() - began < LONG_MS / 1000 / 2
    assert [row["target_id"] for row in answer["data"]] == [made["id"]]


async def test_a_poll_without_news_is_a_heartbeat(service: CredentialsService) -> None:
    """It comes when the wait is over, empty, and covers what was committed before it was asked for."""
    siblings = service.client(service.service_key)
    after = (await read(siblings))["sequence"]
    began = time.monotonic()
    async with served_clock() as clock:
        answer = await read(siblings, after=after, wait_ms=150)
        assert clock.now() < TRUST_SECONDS
    assert time.monotonic() - began >= 0.15
    assert answer["data"] == []
    assert answer["sequence"] == after


async def test_an_answer_covers_what_was_committed_before_the_question(service: CredentialsService) -> None:
    """Also if this process has not looked since: it looks before it answers."""
    siblings = service.client(service.service_key)
    app = create_app(service.settings)
    async with app.router.lifespan_context(app):
        other = client_of(app, headers={"x-api-key": service.service_key})
        after = (await read(other))["sequence"]
        for _ in range(5):
            await revoke_one(service)
            after += 1
            assert (await read(other, after=after - 1))["sequence"] == after
    assert (await read(siblings))["sequence"] == after


async def test_a_feed_that_cannot_be_read_answers_503(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never a heartbeat that would keep trust alive."""
    monkeypatch.setattr(feed_module, "_LOOK_TIMEOUT_SECONDS", 0.1)
    app = create_app(service.settings)
    async with app.router.lifespan_context(app):
        resources: Resources = app.state.resources
        client = client_of(app, headers={"x-api-key": service.service_key})
        assert (await client.get("/v1/revocations")).status_code == 200
        monkeypatch.setattr(resources.feed, "look", _never)
        answer = await client.get("/v1/revocations", params={"after": 0, "wait_ms": 300})
        assert answer.status_code == 503
        assert answer.json()["code"] == "service_unavailable"


@pytest.mark.parametrize(
    "query",
    [
        {"after": -1},
        {"after": "x"},
        {"wait_ms": LONG_MS + 1},
        {"wait_ms": -1},
        {"service": "Not a name"},
        {"after": 2**63},
        {"other": 1},
    ],
)
async def test_strange_questions_are_refused(service: CredentialsService, query: dict[str, Any]) -> None:
    """422 with a pointer."""
    answer = await service.client(service.service_key).get("/v1/revocations", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_only_a_platform_credential_with_the_scope_may_follow(service: CredentialsService) -> None:
    """The feed names credentials of every tenant."""
    owner = await service.new_owner(await service.new_tenant())
    publisher = service.client((await service.new_key(None, kind="service", scopes=["events:publish"]))["key"])
    for client, status in ((owner, 403), (publisher, 403), (service.client(), 401)):
        assert (await client.get("/v1/revocations")).status_code == status


async def test_a_sibling_is_shown_with_what_it_applied_and_how_long_that_took(service: CredentialsService) -> None:
    """In the feed's answer and among the metrics of both."""
    async with on_socket(service.app) as url, following(url, service) as sibling:
        await sibling.feed.ask(wait_seconds=0)
        await revoke_one(service)
        await sibling.feed.ask(wait_seconds=5)
        await sibling.feed.ask(wait_seconds=0)
        answer = await read(service.client(service.service_key))
    (shown,) = [item for item in answer["services"] if item["service"] == "example"]
    assert shown["applied"] == answer["sequence"] == sibling.feed.applied
    assert 0 < shown["took_ms"] < 1_000
    metrics = (await service.client().get("/metrics")).text
    assert f'causeway_revocations_applied_sequence{{service="example"}} {float(answer["sequence"])}' in metrics
    assert f'causeway_revocations_applied_sequence{{service="credentials"}} {float(answer["sequence"])}' in metrics
    assert 'causeway_revocations_took_seconds{service="example"} 0.' in metrics
    assert 'causeway_revocations_live{service="credentials"} 1.0' in metrics


async def test_a_hint_over_valkey_wakes_the_other_process(
    databases: Databases, queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own turn an hour away, it sees the revocation at once all the same; and without a hint it would not."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url, queue_url=queue_url)
        async with credentials_service(settings) as first:
            app = create_app(settings)
            async with app.router.lifespan_context(app):
                other: RevocationFeed = app.state.resources.feed
                await _listens(first, queue_url)
                monkeypatch.setattr(feed_module, "POLL_SECONDS", 3_600.0)
                await other.look()
                other.look_soon()
                await asyncio.sleep(0)
                target = await revoke_one(first)
                async with asyncio.timeout(5):
                    while other.applied < first.resources.feed.applied or not other.applied:
                        await other._next_look(within_seconds=1)
                assert target
                first.resources.feed._hint = lambda _sequence: None
                await revoke_one(first)
                assert not await other._next_look(within_seconds=0.5)


@asynccontextmanager
async def following(url: str, service: CredentialsService) -> AsyncIterator[AccessClient]:
    """Give a sibling's client whose feed is asked by the test."""
    sibling = AccessClient.open(url, SecretStr(service.service_key), service="example")
    yield sibling
    await sibling.aclose()


async def _listens(service: CredentialsService, queue_url: str) -> None:
    """Wait until both processes have subscribed."""
    queue = open_queue(queue_url)
    async with asyncio.timeout(10):
        while dict(await queue.pubsub_numsub(CHANNEL))[CHANNEL.encode()] < 2:
            await service.resources.feed._next_look(within_seconds=0.05)
    await queue.aclose()


async def _never() -> None:
    await asyncio.Event().wait()
