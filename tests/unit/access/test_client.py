"""What a sibling may remember, and for how long: with a live feed, without one, and with credentials away."""

import asyncio

import pytest

from shared import key_format, typeids
from shared.access import FRESH_SECONDS, AccessUnavailableError
from shared.access.client import ANSWER_SECONDS
from shared.access.feed import HEARTBEAT_SECONDS, TRUST_SECONDS
from support.fake_credentials import FakeCredentials, allows, heard

LIMIT_SECONDS = 1.0


@pytest.fixture
def credentials() -> FakeCredentials:
    """Return a service that knows nothing yet."""
    return FakeCredentials()


def test_two_round_trips_fit_between_heartbeats() -> None:
    """Trust outlives two waits with room to spare, and is over within the second."""
    assert 2 * HEARTBEAT_SECONDS + 0.3 < TRUST_SECONDS < LIMIT_SECONDS
    assert FRESH_SECONDS < LIMIT_SECONDS


async def test_while_the_feed_lives_an_answer_serves_for_half_a_minute(credentials: FakeCredentials) -> None:
    """One question; then memory, as long as heartbeats come, and then one more question."""
    key, client = credentials.new_key(), await heard(credentials.client())
    for _ in range(int(ANSWER_SECONDS * 2)):
        assert await allows(client, key)
        credentials.clock.now += 0.5
        await heard(client)
    assert len(credentials.verified) == 1
    assert await allows(client, key)
    assert len(credentials.verified) == 2


async def test_a_row_drops_the_key_it_names_and_no_other(credentials: FakeCredentials) -> None:
    """The revoked key is asked for again, and denied; the other one is not."""
    first, second, client = credentials.new_key(), credentials.new_key(), await heard(credentials.client())
    assert await allows(client, first)
    assert await allows(client, second)
    credentials.revoke(first)
    await heard(client)
    assert not await allows(client, first)
    assert await allows(client, second)
    assert len(credentials.verified) == 3


async def test_a_row_about_a_tenant_drops_all_its_keys(credentials: FakeCredentials) -> None:
    """From every address they were used from."""
    tenant = typeids.new_id()
    keys = [credentials.new_key(tenant=tenant) for _ in range(3)]
    client = await heard(credentials.client())
    for key in keys:
        assert await allows(client, key, ip="192.0.2.1")
        assert await allows(client, key, ip="2001:db8::1")
    credentials.keys.clear()
    credentials.announce(typeids.encode("ten", tenant))
    await heard(client)
    for key in keys:
        assert not await allows(client, key, ip="192.0.2.1")
        assert not await allows(client, key, ip="2001:db8::1")


async def test_without_a_heartbeat_each_request_asks(credentials: FakeCredentials) -> None:
    """And so a revocation that the feed did not bring is seen at the next request."""
    key, client = credentials.new_key(), await heard(credentials.client())
    assert await allows(client, key)
    credentials.clock.now += TRUST_SECONDS
    for _ in range(3):
        assert await allows(client, key)
    assert len(credentials.verified) == 1 + 3
    del credentials.keys[key]
    assert not await allows(client, key)


async def test_trust_counts_from_the_question_and_not_from_its_answer(credentials: FakeCredentials) -> None:
    """An answer that was long under way is as old as its question: it may not know what happened since."""
    key, client = credentials.new_key(), await heard(credentials.client())
    assert await allows(client, key)
    asked_at = credentials.clock.now
    credentials.clock.now += TRUST_SECONDS + 0.1
    client.feed._apply({"sequence": 0, "data": []}, asked_at=asked_at, answered_at=credentials.clock.now)
    assert not client.feed.is_live()


async def test_while_credentials_is_away_money_stops_and_reading_goes_on_for_the_grace(
    credentials: FakeCredentials,
) -> None:
    """Counted from the last moment at which the answer was known to be good."""
    key, client = credentials.new_key(), await heard(credentials.client(grace_seconds=10.0))
    assert await allows(client, key)
    credentials.clock.now += 20.0
    await heard(client)
    assert await allows(client, key)
    credentials.is_up = False
    credentials.clock.now += TRUST_SECONDS
    for scope in ("events:publish", "transfers:create", "api_keys:write", "credentials:verify"):
        with pytest.raises(AccessUnavailableError):
            await allows(client, key, scope=scope)
    assert await allows(client, key, scope="events:read")
    credentials.clock.now += 9.0 - TRUST_SECONDS
    assert await allows(client, key, scope="events:read")
    credentials.clock.now += 1.0
    with pytest.raises(AccessUnavailableError):
        await allows(client, key, scope="events:read")


async def test_without_grace_reading_stops_too(credentials: FakeCredentials) -> None:
    """Zero means not at all."""
    key, client = credentials.new_key(), await heard(credentials.client(grace_seconds=0.0))
    assert await allows(client, key, scope="events:read")
    credentials.is_up = False
    credentials.clock.now += TRUST_SECONDS
    with pytest.raises(AccessUnavailableError):
        await allows(client, key, scope="events:read")


async def test_what_was_never_verified_does_not_pass_while_credentials_is_away(credentials: FakeCredentials) -> None:
    """Not even for reading; nor does a revoked one that the feed has dropped."""
    key, unseen, client = credentials.new_key(), credentials.new_key(), await heard(credentials.client())
    assert await allows(client, key, scope="events:read")
    credentials.revoke(key)
    await heard(client)
    credentials.is_up = False
    for text in (key, unseen):
        with pytest.raises(AccessUnavailableError):
            await allows(client, text, scope="events:read")


async def test_an_answer_overtaken_by_a_revocation_is_neither_given_nor_kept(credentials: FakeCredentials) -> None:
    """The fill race: read, pause, revoke, resume: denied, and not remembered as valid."""
    key, client = credentials.new_key(), await heard(credentials.client())
    credentials.may_answer.clear()
    verifying = asyncio.create_task(allows(client, key))
    await credentials.was_read.wait()
    credentials.revoke(key)
    await heard(client)
    credentials.may_answer.set()
    assert not await verifying
    assert not await allows(client, key)
    assert len(credentials.verified) == 2


async def test_an_answer_read_before_following_began_is_not_kept(credentials: FakeCredentials) -> None:
    """Of the revocations before the first heartbeat nothing is known here."""
    key, client = credentials.new_key(), credentials.client()
    credentials.may_answer.clear()
    verifying = asyncio.create_task(allows(client, key))
    await credentials.was_read.wait()
    credentials.revoke(key)
    await heard(client)
    credentials.may_answer.set()
    assert not await verifying


async def test_answers_that_never_catch_up_deny(credentials: FakeCredentials) -> None:
    """An API process that stays behind the feed is asked three times, then nothing is known."""
    key, client = credentials.new_key(), await heard(credentials.client())
    credentials.announce(credentials.keys[key]["credential_id"])
    await heard(client)
    credentials.lag = 1
    with pytest.raises(AccessUnavailableError):
        await allows(client, key, scope="events:read")
    assert [asked["min_sequence"] for asked in credentials.verified] == [1, 1, 1]


@pytest.mark.parametrize("sequence", [0, 7], ids=["starts anew", "gap"])
async def test_what_cannot_be_followed_voids_everything(credentials: FakeCredentials, sequence: int) -> None:
    """Sequences that go back after a restore, or rows that are missing: every answer is asked for again."""
    key, client = credentials.new_key(), await heard(credentials.client())
    for _ in range(3):
        credentials.announce(typeids.encode("key", typeids.new_id()))
        await heard(client)
    assert await allows(client, key)
    credentials.rows, credentials.first_sequence = [], sequence
    if sequence:
        credentials.announce(typeids.encode("key", typeids.new_id()))
    await heard(client)
    assert client.feed.applied == credentials.sequence
    del credentials.keys[key]
    assert not await allows(client, key)


async def test_trust_waits_until_all_rows_are_applied(credentials: FakeCredentials) -> None:
    """An answer that holds only the first thousand is not a heartbeat."""
    key, client = credentials.new_key(), await heard(credentials.client())
    assert await allows(client, key)
    for _ in range(1_500):
        credentials.announce(typeids.encode("key", typeids.new_id()))
    credentials.clock.now += TRUST_SECONDS
    await heard(client)
    assert not client.feed.is_live()
    await heard(client)
    assert client.feed.is_live()


async def test_requests_at_once_share_one_question(credentials: FakeCredentials) -> None:
    """But not one that was asked too long ago."""
    key, client = credentials.new_key(), await heard(credentials.client())
    credentials.may_answer.clear()
    waiting = [asyncio.create_task(allows(client, key)) for _ in range(20)]
    await credentials.was_read.wait()
    credentials.clock.now += FRESH_SECONDS
    credentials.was_read.clear()
    waiting.append(asyncio.create_task(allows(client, key)))
    await credentials.was_read.wait()
    credentials.may_answer.set()
    assert all(await asyncio.gather(*waiting))
    assert len(credentials.verified) == 2


async def test_denials_are_remembered_for_a_moment_only(credentials: FakeCredentials) -> None:
    """Whatever made it valid is seen within that time."""
    client, key = await heard(credentials.client()), key_format.generate("secret", "live")
    for _ in range(3):
        assert not await allows(client, key)
    assert len(credentials.verified) == 1
    credentials.clock.now += FRESH_SECONDS
    assert not await allows(client, key)
    assert len(credentials.verified) == 2


async def test_malformed_keys_cost_no_question(credentials: FakeCredentials) -> None:
    """Their checksum tells."""
    client = await heard(credentials.client())
    for text in ("x", "cw_sk_live_" + "0" * 49, "cw_sk_live_"):
        assert not await allows(client, text)
    assert credentials.verified == []


async def test_the_address_is_part_of_what_is_remembered(credentials: FakeCredentials) -> None:
    """A key with an address list is judged anew for each address."""
    key, client = credentials.new_key(), await heard(credentials.client())
    for ip in (None, "192.0.2.1", "192.0.2.2", "192.0.2.1"):
        assert await allows(client, key, ip=ip)
    assert [asked.get("source_ip") for asked in credentials.verified] == [None, "192.0.2.1", "192.0.2.2"]


async def test_each_exercised_scope_is_told_once(credentials: FakeCredentials) -> None:
    """So that the owner sees which scopes a key never exercised."""
    key, client = credentials.new_key(), await heard(credentials.client())
    for scope in ("events:read", "events:publish", "events:read", "events:publish"):
        assert await allows(client, key, scope=scope)
    assert [asked["used_scope"] for asked in credentials.verified] == ["events:read", "events:publish"]


async def test_a_scope_that_cannot_be_told_stops_nothing_while_the_feed_lives(credentials: FakeCredentials) -> None:
    """The answer itself is still good."""
    key, client = credentials.new_key(), await heard(credentials.client())
    assert await allows(client, key, scope="events:read")
    credentials.is_up = False
    assert await allows(client, key, scope="events:publish")


async def test_no_answer_outlives_the_credential(credentials: FakeCredentials) -> None:
    """Its own end is part of the answer."""
    key, client = credentials.new_key(), await heard(credentials.client())
    credentials.keys[key]["expires_at"] = 1.0
    assert not await allows(client, key)
    assert not await allows(client, key)
