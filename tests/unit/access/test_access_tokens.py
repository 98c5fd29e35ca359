"""Access tokens in a sibling: judged by the published keys and the feed, and asked about only where that leaves a doubt."""

import asyncio

import pytest

from shared import typeids
from shared.access import AccessClient, AccessUnavailableError
from shared.access.client import ANSWER_SECONDS
from shared.access.feed import TRUST_SECONDS
from shared.access.jwks import JWKS_PATH, REFRESH_SECONDS, RETRY_SECONDS
from shared.access.jwt import AccessToken
from shared.access.questions import PATIENCE_SECONDS
from support.access_tokens import HOSTILE_KEY_IDS, ISSUER, UNKNOWN_KEY_ID, Issuer, forgeries
from support.fake_credentials import FakeCredentials

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


def known(credentials: FakeCredentials, token: AccessToken) -> str:
    """Return the text of a token that credentials, if asked, says is good."""
    return _known(TRUSTED.text(token), token, credentials)


def known_of(issuer: Issuer, credentials: FakeCredentials) -> str:
    """Return the text of another issuer's token that credentials says is good."""
    token = issuer.token(sequence=credentials.sequence)
    return _known(issuer.text(token), token, credentials)


def _known(text: str, token: AccessToken, credentials: FakeCredentials) -> str:
    credentials.keys[text] = {
        "credential_id": token.credential_id,
        "kind": token.kind,
        "name": "Access token",
        "tenant_id": typeids.encode("ten", token.tenant_id) if token.tenant_id else None,
        "environment": token.environment,
        "scopes": sorted(token.scopes),
        "expires_at": token.expires_at,
    }
    return text


def forged(name: str) -> str:
    """Return a forgery of a token that is in its time now, so that its one fault is what refuses it."""
    return forgeries(TRUSTED.text(), signing_key=TRUSTED.key)[name]


async def allows(client: AccessClient, text: str, *, scope: str = "events:publish") -> bool:
    """Tell whether the client lets a credential pass; what it does behind that is done, too."""
    is_allowed = await client.verify(text, ip=None, scope=scope) is not None
    await asyncio.gather(*client._questions.under_way(), return_exceptions=True)
    return is_allowed


async def test_a_token_is_judged_without_waiting_for_credentials(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """The answer does not need the question; credentials is told of the use all the same, once for each scope."""
    token = TRUSTED.token()
    credentials.may_answer.clear()
    principal = await client.verify(known(credentials, token), ip=None, scope="events:publish")
    assert principal is not None
    assert (principal.credential_id, principal.tenant_id, principal.scopes) == (
        token.credential_id,
        token.tenant_id,
        token.scopes,
    )
    credentials.may_answer.set()
    for scope in ("events:publish", "events:read", "events:read", "events:publish"):
        assert await allows(client, TRUSTED.text(token), scope=scope)
    text = known(credentials, token)
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
    assert await allows(client, known(credentials, TRUSTED.token()))
    successor = Issuer()
    credentials.jwks = [successor.jwk, TRUSTED.jwk]
    assert not await allows(client, successor.text())
    credentials.clock.now += RETRY_SECONDS
    await client.feed.ask(wait_seconds=0)
    assert await allows(client, successor.text())


async def test_a_key_that_is_published_no_more_is_forgotten(credentials: FakeCredentials, client: AccessClient) -> None:
    """After the time that published keys are kept, and nobody waits for that: the first one to come finds the old key."""
    text = known(credentials, TRUSTED.token())
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
    assert await allows(client, known(credentials, TRUSTED.token()))


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
        text = known(credentials, token)
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
        other = known(credentials, TRUSTED.token(sequence=credentials.sequence))
        assert await allows(client, other)


@pytest.mark.parametrize("sequence", [0, 10**9], ids=["as issued", "forged high"])
async def test_a_signing_key_that_the_feed_names_reads_no_token_any_more(
    credentials: FakeCredentials, client: AccessClient, sequence: int
) -> None:
    """Whoever has the leaked key writes its tokens' sequence too: no number in a token counts, not even once, and not later."""
    assert await allows(client, known(credentials, TRUSTED.token()))
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
    waiting = asyncio.create_task(allows(client, known_of(successor, credentials)))
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
    assert await allows(client, known_of(successor, credentials))


async def test_after_a_gap_no_key_is_known_until_it_is_published_anew(credentials: FakeCredentials) -> None:
    """Of the rows that were missed one may have named it; what an API process publishes that lies behind does not count."""
    client = credentials.client(issuer=ISSUER)
    await client.feed.ask(wait_seconds=0)
    client.feed.complete_since -= 60
    assert await allows(client, known(credentials, TRUSTED.token()))
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


async def test_a_change_that_leaves_the_token_its_scopes_does_not_end_it(
    credentials: FakeCredentials, client: AccessClient
) -> None:
    """The feed names the key, so credentials is asked, and what it says counts: here, that all is well."""
    token = TRUSTED.token(sequence=credentials.sequence)
    text = known(credentials, token)
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
    text = known(credentials, TRUSTED.token())
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
