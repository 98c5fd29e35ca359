"""Access tokens in a sibling: judged by the published keys and the feed, and asked about only where that leaves a doubt."""

import asyncio

import pytest

from shared import typeids
from shared.access import AccessClient, AccessUnavailableError
from shared.access.client import ANSWER_SECONDS
from shared.access.feed import TRUST_SECONDS
from shared.access.jwks import JWKS_PATH, REFRESH_SECONDS, RETRY_SECONDS
from shared.access.questions import PATIENCE_SECONDS
from support.access_tokens import HOSTILE_KEY_IDS, ISSUER, UNKNOWN_KEY_ID, Issuer, forgeries
from support.fake_credentials import FakeCredentials, allows

TRUSTED = Issuer()
NAMES = tuple(forgeries(TRUSTED.text(), signing_key=TRUSTED.key))


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


def forged(name: str) -> str:
    """Return a forgery of a token that is in its time now, so that its one fault is what refuses it."""
    return forgeries(TRUSTED.text(), signing_key=TRUSTED.key)[name]


async def test_a_token_is_judged_without_waiting_for_credentials(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """The answer does not need the question; credentials is told of the use all the same, once for each scope."""
    token = TRUSTED.token()
    credentials.may_answer.clear()
    principal = await client.verify(credentials.know(TRUSTED, token), ip=None, scope="events:publish")
    assert principal is not None
    assert (principal.credential_id, principal.tenant_id, principal.scopes) == (
        token.credential_id,
        token.tenant_id,
        token.scopes,
    )
    credentials.may_answer.set()
    for scope in ("events:publish", "events:read", "events:read", "events:publish"):
        assert await allows(client, TRUSTED.text(token), scope=scope)
    text = credentials.know(TRUSTED, token)
    for scope in ("events:publish", "events:read", "events:read", "events:publish"):
        assert await allows(client, text, scope=scope)
    assert [asked["used_scope"] for asked in credentials.verified if asked["credential"] == text] == [
        "events:publish",
        "events:read",
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_a_forgery_is_refused_and_asks_nothing_but_for_the_published_keys(
    credentials: FakeCredentials, client: AccessClient, name: str
) -> None:
    """No address that a token names is ever looked at, and no forgery is passed on."""
    del credentials.asked_paths[:]
    assert not await allows(client, forged(name))
    assert set(credentials.asked_paths) <= {JWKS_PATH}


@pytest.mark.parametrize("kid", HOSTILE_KEY_IDS)
async def test_a_key_id_that_is_none_of_ours_is_not_even_looked_for(
    credentials: FakeCredentials, client: AccessClient, kid: str
) -> None:
    """A path, an address, a piece of SQL, an id of another kind: it costs no request at all."""
    del credentials.asked_paths[:]
    assert not await allows(client, forged(f"kid {kid!r}"))
    assert set(credentials.asked_paths) <= ({JWKS_PATH} if kid == UNKNOWN_KEY_ID else set())


async def test_keys_of_nobody_are_looked_for_at_most_every_few_seconds(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """A flood of tokens with unknown key ids costs one request each time, and malformed ids none at all."""
    strangers = [Issuer() for _ in range(20)]
    for stranger in strangers:
        assert not await allows(client, stranger.text())
    assert credentials.asked_paths.count(JWKS_PATH) == 1
    credentials.clock.now += RETRY_SECONDS
    for stranger in strangers:
        assert not await allows(client, stranger.text())
    assert credentials.asked_paths.count(JWKS_PATH) == 2


async def test_a_new_key_is_found_when_it_signs(credentials: FakeCredentials, client: AccessClient) -> None:
    """Not only when the keys are old enough to be fetched anyway."""
    assert await allows(client, credentials.know(TRUSTED, TRUSTED.token()))
    successor = Issuer()
    credentials.jwks = [successor.jwk, TRUSTED.jwk]
    assert not await allows(client, successor.text())
    credentials.clock.now += RETRY_SECONDS
    await client.feed.ask(wait_seconds=0)
    assert await allows(client, successor.text())


async def test_a_key_that_is_published_no_more_is_forgotten(credentials: FakeCredentials, client: AccessClient) -> None:
    """After the time that published keys are kept, and nobody waits for that: the first one to come finds the old key."""
    text = credentials.know(TRUSTED, TRUSTED.token())
    assert await allows(client, text)
    credentials.jwks = [Issuer().jwk]
    credentials.may_publish.clear()
    for is_allowed in (True, False):
        credentials.clock.now += max(REFRESH_SECONDS, ANSWER_SECONDS)
        await client.feed.ask(wait_seconds=0)
        assert await allows(client, text) is is_allowed
        credentials.may_publish.set()
        if client._keys._fetching is not None:
            await client._keys._fetching


async def test_a_second_try_for_the_keys_holds_nobody_up(credentials: FakeCredentials) -> None:
    """The first one showed that they do not come: those who need them wait a moment, and those after them not at all."""
    client = credentials.client(issuer=ISSUER)
    credentials.is_up = False
    with pytest.raises(AccessUnavailableError):
        await client.verify(TRUSTED.text(), ip=None, scope="events:read")
    credentials.is_up = True
    credentials.may_publish.clear()
    credentials.clock.now += RETRY_SECONDS
    for limit_seconds in (1.0, 0.1):
        async with asyncio.timeout(limit_seconds):
            with pytest.raises(AccessUnavailableError):
                await client.verify(TRUSTED.text(), ip=None, scope="events:read")
        credentials.clock.now += PATIENCE_SECONDS
    credentials.may_publish.set()
    assert client._keys._fetching is not None
    await client._keys._fetching
    assert await allows(client, credentials.know(TRUSTED, TRUSTED.token()))


async def test_without_the_keys_nobody_is_told_no(credentials: FakeCredentials) -> None:
    """Not being able to know is a 503, not a 401."""
    client = credentials.client(issuer=ISSUER)
    credentials.is_up = False
    with pytest.raises(AccessUnavailableError):
        await client.verify(TRUSTED.text(), ip=None, scope="events:read")


async def test_what_revokes_a_token_ends_it(credentials: FakeCredentials, client: AccessClient) -> None:
    """Its own id, its credential, its tenant, and the key that signed it: each row of the feed drops it, in memory and afresh."""
    for target in ("tok", "key", "ten", "sig"):
        token = TRUSTED.token(sequence=credentials.sequence)
        text = credentials.know(TRUSTED, token)
        assert await allows(client, text)
        named = {
            "tok": token.token_id,
            "key": token.key_id,
            "ten": token.tenant_id,
            "sig": token.signing_key_id,
        }[target]
        assert named is not None
        del credentials.keys[text]
        credentials.announce(typeids.encode(target, named))
        await client.feed.ask(wait_seconds=0)
        assert not await allows(client, text), target
        never_seen = TRUSTED.text(token)
        assert not await allows(client, never_seen), target
        if target == "sig":
            continue
        other = credentials.know(TRUSTED, TRUSTED.token(sequence=credentials.sequence))
        assert await allows(client, other)


async def test_a_change_that_leaves_the_token_its_scopes_does_not_end_it(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """The feed names the key, so credentials is asked, and what it says counts: here, that all is well."""
    token = TRUSTED.token(sequence=credentials.sequence)
    text = credentials.know(TRUSTED, token)
    credentials.announce(token.credential_id)
    await client.feed.ask(wait_seconds=0)
    asked = len(credentials.verified)
    assert await allows(client, text)
    assert len(credentials.verified) == asked + 1


async def test_what_this_process_cannot_know_it_asks(credentials: FakeCredentials, client: AccessClient) -> None:
    """An address list, a time before it followed the feed, and a feed that is not heard: each time, credentials decides."""
    bound = TRUSTED.text(TRUSTED.token(is_address_bound=True))
    assert not await allows(client, bound)
    plain = TRUSTED.token()
    client.feed.complete_since = plain.issued_at
    assert not await allows(client, TRUSTED.text(plain))
    client.feed.complete_since = plain.issued_at - 60
    credentials.clock.now += TRUST_SECONDS
    assert not await allows(client, TRUSTED.text(TRUSTED.token()))
    assert len(credentials.verified) == 3


async def test_with_credentials_away_money_fails_closed_and_reading_goes_on(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """As for keys: a token is no better than the feed that could revoke it."""
    text = credentials.know(TRUSTED, TRUSTED.token())
    assert await allows(client, text, scope="events:read")
    credentials.is_up = False
    credentials.clock.now += TRUST_SECONDS
    assert await allows(client, text, scope="events:read")
    with pytest.raises(AccessUnavailableError):
        await client.verify(text, ip=None, scope="events:publish")


async def test_a_token_that_credentials_denies_stays_denied(credentials: FakeCredentials, client: AccessClient) -> None:
    """Where what is known here and what credentials says differ, credentials is right."""
    text = TRUSTED.text()
    assert await allows(client, text)
    assert not await allows(client, text)
    credentials.clock.now += ANSWER_SECONDS
    await client.feed.ask(wait_seconds=0)
    assert not await allows(client, text)
