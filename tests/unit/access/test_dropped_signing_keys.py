"""A signing key that may be known to somebody, in a sibling: once the feed has named it, nothing brings it back."""

import asyncio

import pytest

from shared import typeids
from shared.access import AccessClient, AccessUnavailableError
from shared.access.jwks import JWKS_PATH, REFRESH_SECONDS, RETRY_SECONDS
from support.access_tokens import ISSUER, Issuer
from support.fake_credentials import FakeCredentials, allows

TRUSTED = Issuer()


@pytest.fixture
def credentials() -> FakeCredentials:
    """Return a service that publishes one key."""
    return FakeCredentials(jwks=[TRUSTED.jwk])


@pytest.fixture
async def client(credentials: FakeCredentials) -> AccessClient:
    """Return a sibling's client that has followed the feed for a minute."""
    made = credentials.client(issuer=ISSUER)
    await made.feed.ask(wait_seconds=0)
    made.feed.complete_since -= 60
    return made


@pytest.mark.parametrize("sequence", [0, 10**9], ids=["as issued", "forged high"])
async def test_a_signing_key_that_the_feed_names_reads_no_token_any_more(
    credentials: FakeCredentials, client: AccessClient, sequence: int
) -> None:
    """Whoever has the leaked key writes its tokens' sequence too: no number in a token counts, not even once, and not later."""
    assert await allows(client, credentials.know(TRUSTED, TRUSTED.token()))
    credentials.keys.clear()
    credentials.announce(TRUSTED.kid)
    await client.feed.ask(wait_seconds=0)
    asked = len(credentials.verified)
    for _ in range(3):
        assert (
            await client.verify(TRUSTED.text(TRUSTED.token(sequence=sequence)), ip=None, scope="events:publish") is None
        )
        credentials.clock.now += REFRESH_SECONDS  # and an issuer that goes on publishing it changes nothing
        await client.feed.ask(wait_seconds=0)
    assert len(credentials.verified) == asked


async def test_keys_that_were_on_their_way_when_one_was_dropped_are_not_taken(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """They may be older than the row: the keys are fetched again, and the successor is known at once."""
    credentials.may_publish.clear()
    verifying = asyncio.create_task(client.verify(TRUSTED.text(), ip=None, scope="events:publish"))
    await credentials.keys_were_read.wait()
    successor = Issuer()
    credentials.jwks = [successor.jwk]
    credentials.announce(TRUSTED.kid)
    await client.feed.ask(wait_seconds=0)
    waiting = asyncio.create_task(
        allows(client, credentials.know(successor, successor.token(sequence=credentials.sequence)))
    )
    await asyncio.sleep(0)
    credentials.may_publish.set()
    assert await verifying is None
    assert await waiting
    assert credentials.asked_paths.count(JWKS_PATH) == 2


async def test_published_keys_that_lie_behind_the_feed_are_not_taken(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """What an API process publishes that has not seen the row yet says nothing: neither yes, nor no to the successor."""
    successor = Issuer()
    credentials.announce(TRUSTED.kid)
    await client.feed.ask(wait_seconds=0)
    credentials.lag = 1
    assert not await allows(client, TRUSTED.text(TRUSTED.token(sequence=10**9)))
    with pytest.raises(AccessUnavailableError):
        await client.verify(successor.text(), ip=None, scope="events:publish")
    credentials.lag, credentials.jwks = 0, [successor.jwk]
    credentials.clock.now += RETRY_SECONDS
    await client.feed.ask(wait_seconds=0)
    assert await allows(client, credentials.know(successor, successor.token(sequence=credentials.sequence)))


async def test_after_a_gap_no_key_is_known_until_it_is_published_anew(credentials: FakeCredentials) -> None:
    """Of the rows that were missed one may have named it; what an API process publishes that lies behind does not count."""
    client = credentials.client(issuer=ISSUER)
    await client.feed.ask(wait_seconds=0)
    client.feed.complete_since -= 60
    assert await allows(client, credentials.know(TRUSTED, TRUSTED.token()))
    credentials.rows, credentials.first_sequence = [], 7
    credentials.announce(typeids.encode("key", typeids.new_id()))
    await client.feed.ask(wait_seconds=0)
    client.feed.complete_since -= 60
    credentials.lag = 1
    forged = TRUSTED.text(TRUSTED.token(sequence=10**9))
    with pytest.raises(AccessUnavailableError):
        await client.verify(forged, ip=None, scope="events:publish")
    credentials.lag, credentials.jwks = 0, [Issuer().jwk]
    credentials.clock.now += RETRY_SECONDS
    await client.feed.ask(wait_seconds=0)
    assert await client.verify(forged, ip=None, scope="events:publish") is None
