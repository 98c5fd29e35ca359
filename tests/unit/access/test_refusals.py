"""What a sibling tells of its refusals: the first at once, a flood of them never more than a few, and nobody waits for it."""

import asyncio

import pytest

from shared.access import AccessClient, AccessUnavailableError
from shared.access.refusals import QUIET_SECONDS, UNDER_WAY_MAX
from support.fake_credentials import FakeCredentials


async def refuse(credentials: FakeCredentials, client: AccessClient, key: str, *, times: int = 1) -> None:
    """Refuse a good key's request."""
    principal = await client.verify(key, ip=None, scope="events:read")
    assert principal is not None
    for _ in range(times):
        client.denied(key, principal, reason="legacy_off", ip=None)
    if credentials.may_answer.is_set():
        await asyncio.gather(*client._refusals.under_way())


def reasons(credentials: FakeCredentials) -> list[str]:
    """Return what credentials was told."""
    return [asked["refused_because"] for asked in credentials.verified if "refused_because" in asked]


@pytest.fixture
def credentials() -> FakeCredentials:
    """Return a service that knows nothing yet."""
    return FakeCredentials()


async def test_a_flood_is_told_once_in_a_while(credentials: FakeCredentials) -> None:
    """Of one key and reason; another key is another matter."""
    key, other, client = credentials.new_key(), credentials.new_key(), credentials.client()
    for _ in range(3):
        await refuse(credentials, client, key, times=100)
    assert reasons(credentials) == ["legacy_off"]
    await refuse(credentials, client, other)
    credentials.clock.now += QUIET_SECONDS
    await refuse(credentials, client, key)
    assert len(reasons(credentials)) == 3


async def test_where_credentials_hangs_few_wait_and_all_end_with_the_client(credentials: FakeCredentials) -> None:
    """What cannot be told is left out."""
    client = credentials.client()
    keys = [credentials.new_key() for _ in range(2 * UNDER_WAY_MAX)]
    principals = {key: await client.verify(key, ip=None, scope="events:read") for key in keys}
    credentials.may_answer.clear()
    for key, principal in principals.items():
        assert principal is not None
        client.denied(key, principal, reason="bad_signature", ip=None)
    assert len(client._refusals.under_way()) == UNDER_WAY_MAX
    await client.aclose()
    assert not client._refusals.under_way()


async def test_a_refusal_that_cannot_be_told_breaks_nothing(credentials: FakeCredentials) -> None:
    """Neither the request nor what is known of credentials."""
    key, client = credentials.new_key(), credentials.client()
    principal = await client.verify(key, ip=None, scope="events:read")
    assert principal is not None
    credentials.is_up = False
    client.denied(key, principal, reason="tenant_mismatch", ip=None)
    await asyncio.gather(*client._refusals.under_way())
    assert not client._questions.is_lost
    with pytest.raises(AccessUnavailableError):
        await client.verify(credentials.new_key(), ip=None, scope="events:read")
