"""Credentials does not answer, or hangs: what a sibling says meanwhile, how long it takes, and how that ends."""

import asyncio

import pytest

from shared.access import AccessClient, AccessUnavailableError
from shared.access.feed import TRUST_SECONDS
from shared.access.questions import PATIENCE_SECONDS
from support.fake_credentials import FakeCredentials, allows, heard


@pytest.fixture
def credentials() -> FakeCredentials:
    """Return a service that knows nothing yet."""
    return FakeCredentials()


@pytest.fixture
async def lost(credentials: FakeCredentials) -> AccessClient:
    """Return a client that has just found out that credentials does not answer; from now on, credentials hangs."""
    client = await heard(credentials.client())
    keys = [credentials.new_key() for _ in range(3)]
    for key in keys:
        assert await allows(client, key, scope="events:read")
    credentials.is_up = False
    credentials.clock.now += TRUST_SECONDS
    with pytest.raises(AccessUnavailableError):
        await allows(client, keys[0])
    credentials.is_up = True
    credentials.may_answer.clear()
    credentials.verified.clear()
    return client


async def test_while_credentials_hangs_reading_goes_on_at_once_and_asks_one_question(
    credentials: FakeCredentials, lost: AccessClient
) -> None:
    """However long that question takes: questions would only pile up, and every one wait for its time limit."""
    for _ in range(4):
        for key in credentials.keys:
            async with asyncio.timeout(0.1):
                assert await allows(lost, key, scope="events:read")
        credentials.clock.now += 1.0
    assert len(credentials.verified) == 1


async def test_while_credentials_hangs_money_fails_at_once(credentials: FakeCredentials, lost: AccessClient) -> None:
    """The first waits a moment for the one question, those after it not at all."""
    for limit_seconds in (1.0, 0.1, 0.1, 0.1):
        for key in credentials.keys:
            async with asyncio.timeout(limit_seconds):
                with pytest.raises(AccessUnavailableError):
                    await allows(lost, key)
            credentials.clock.now += PATIENCE_SECONDS
    assert len(credentials.verified) == 1


async def test_one_answer_ends_it_for_all(credentials: FakeCredentials, lost: AccessClient) -> None:
    """Also one that nobody waits for; and who comes first after credentials is back is served, not refused for the past."""
    first, second, third = credentials.keys
    assert await allows(lost, first, scope="events:read")
    paying = asyncio.create_task(allows(lost, second))
    await asyncio.sleep(0)
    credentials.may_answer.set()
    assert await paying
    assert await allows(lost, third)
    assert [asked["credential"] for asked in credentials.verified] == [first, second, third]


async def test_after_an_outage_the_first_request_is_served(credentials: FakeCredentials, lost: AccessClient) -> None:
    """Nothing was asked meanwhile, so only this request can find out."""
    credentials.may_answer.set()
    credentials.clock.now += 3600.0
    for key in credentials.keys:
        assert await allows(lost, key)
    assert len(credentials.verified) == len(credentials.keys)


async def test_a_failure_that_is_older_than_an_answer_says_nothing(credentials: FakeCredentials) -> None:
    """A question that was lost with an old connection must not undo what a newer one has shown."""
    first, second, client = credentials.new_key(), credentials.new_key(), credentials.client()
    credentials.may_answer = may_fail = asyncio.Event()
    failing = asyncio.create_task(client.verify(first, ip=None, scope="events:publish"))
    await credentials.was_read.wait()
    credentials.may_answer = asyncio.Event()
    credentials.may_answer.set()
    credentials.clock.now += 0.1
    assert await allows(client, second)
    credentials.status = 503
    may_fail.set()
    with pytest.raises(AccessUnavailableError):
        await failing
    assert not client._questions.is_lost


async def test_a_refusal_by_credentials_is_an_answer(credentials: FakeCredentials, lost: AccessClient) -> None:
    """Nobody can make a sibling believe that credentials is away by a question that it refuses."""
    credentials.may_answer.set()
    credentials.status = 422
    first, second, _ = credentials.keys
    for _ in range(2):
        with pytest.raises(AccessUnavailableError):
            await allows(lost, first)
        assert not lost._questions.is_lost
    credentials.status = 200
    assert await allows(lost, second)


async def test_questions_end_with_the_client(credentials: FakeCredentials, lost: AccessClient) -> None:
    """Whatever is under way when a process stops is given up."""
    assert await allows(lost, next(iter(credentials.keys)), scope="events:read")
    (question,) = lost._questions.under_way()
    await lost.aclose()
    assert question.cancelled()
