"""The keys that sign access tokens: made once, sealed at rest, rotated by command and by age, dropped when they may be known."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from credentials.app import create_app
from credentials.audit.service import Actor
from credentials.oauth import signing_keys_repository as repository
from credentials.oauth import tasks
from credentials.oauth.signing_keys import PREVIOUS_SECONDS, RING_SECONDS, SigningKeys, replace_all, rotate
from credentials.oauth.token_reader import AccessTokenReader
from credentials.resealing.sealed_columns import SEALED_COLUMNS
from credentials.resealing.service import reseal
from credentials.resources import Resources
from shared import typeids
from shared.access import AccessClient
from shared.access.jwt import sign
from shared.sealing import SealContext, SealingKeyring, key_id_of, parse_keys
from support.access_tokens import header_of
from support.apps import on_socket
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.following_siblings import follow
from support.oauth_client import OAuthClient, bearer
from support.served_time import served_clock

ACTOR = Actor(kind="command", id="test")


@pytest.fixture
async def service(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a service with no signing key yet."""
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as running:
        yield running


async def states(resources: Resources) -> list[str]:
    """Return the states of all keys, the newest first."""
    async with resources.database.connection() as connection:
        return [key.state for key in await repository.everything(connection)]


async def rotate_once(service: CredentialsService) -> str:
    """Rotate as the command does, and have this process read the keys anew."""
    resources = service.resources
    async with resources.database.transaction() as session:
        active = await rotate(session, sealing=resources.sealing, actor=ACTOR, now=datetime.now(UTC))
    age(resources)
    return active


def age(resources: Resources) -> None:
    """Let the time pass for which a process keeps the keys that it read."""
    resources.oauth.keys._clock = lambda: time.monotonic() + RING_SECONDS


async def client_of_new_key(service: CredentialsService) -> OAuthClient:
    """Return an OAuth client."""
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    return OAuthClient.of(service.client(), made)


async def published(service: CredentialsService) -> set[str]:
    """Return the ids of the published keys."""
    answer = await service.client().get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.json().keys() == {"keys", "sequence"}
    keys = answer.json()["keys"]
    for key in keys:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "nothing private"
    return {key["kid"] for key in keys}


async def test_processes_that_start_together_make_one_pair_of_keys(service: CredentialsService) -> None:
    """One signs, one comes next, whoever was first."""
    resources = service.resources
    rings = [SigningKeys(resources.database, resources.sealing, feed=resources.feed) for _ in range(8)]
    active = await asyncio.gather(*(ring.active() for ring in rings))
    assert len({key.id for key in active}) == 1
    assert sorted(await states(resources)) == ["active", "next"]


async def test_a_rotation_ends_no_token_and_is_announced_before_it_happens(service: CredentialsService) -> None:
    """The key that signs next was published all along; the one before stays published, without its private part."""
    client = await client_of_new_key(service)
    before, first = await client.token(), await published(service)
    active = await rotate_once(service)
    after = await client.token()
    assert header_of(before)["kid"] != header_of(after)["kid"] == active
    assert active in first
    assert await published(service) > first
    assert await states(service.resources) == ["next", "active", "previous"]
    for token in (before, after):
        assert (await client.http.get("/v1/whoami", headers=bearer(token))).status_code == 200
    async with service.resources.database.connection() as connection:
        stored = await repository.everything(connection)
    assert [key.sealed_private_key is None for key in stored] == [False, False, True]


async def test_private_keys_are_sealed_and_belong_to_their_row(service: CredentialsService) -> None:
    """The database alone signs nothing; the command that re-seals reaches them."""
    await service.resources.oauth.keys.active()
    async with service.resources.database.connection() as connection:
        stored = await repository.everything(connection)
    for key in stored:
        assert key.sealed_private_key is not None
        assert b"PRIVATE KEY" not in key.sealed_private_key
        assert '"d"' not in key.public_jwk
    newer = SealingKeyring({"s2": os.urandom(32), **parse_keys(service.settings.sealing_keys)})
    await reseal(service.resources.database, keyring=newer, columns=SEALED_COLUMNS)
    async with service.resources.database.connection() as connection:
        for key in await repository.everything(connection):
            assert key.sealed_private_key is not None
            assert key_id_of(key.sealed_private_key) == "s2"
            context = SealContext(
                table="oauth_signing_keys", column="sealed_private_key", row_id=key.id, tenant_id=None
            )
            assert newer.open(key.sealed_private_key, context=context).startswith(b"-----BEGIN PRIVATE KEY")


async def test_keys_that_may_be_known_are_dropped_with_all_their_tokens(service: CredentialsService) -> None:
    """In this process, in another one, and in a sibling that judges by itself: within a second; new tokens are good."""
    client = await client_of_new_key(service)
    token = await client.token()
    async with on_socket(create_app(service.settings)) as url:
        sibling = AccessClient.open(url, SecretStr(service.service_key), issuer=service.settings.issuer)
        await follow(sibling, heard_for_seconds=60)
        assert await sibling.verify(token, ip=None, scope="events:read") is not None
        resources = service.resources
        async with resources.database.transaction() as session:
            await replace_all(session, sealing=resources.sealing, actor=ACTOR, now=datetime.now(UTC))
        async with served_clock() as clock, asyncio.timeout(30):
            while await sibling.verify(token, ip=None, scope="events:read") is not None:
                assert (await client.http.get("/livez")).is_success  # lets the feed be heard meanwhile
            while (await client.http.get("/v1/whoami", headers=bearer(token))).status_code == 200:
                pass
            assert clock.now() < 1.0
        fresh = await client.token()
        assert (await client.http.get("/v1/whoami", headers=bearer(fresh))).status_code == 200
        await sibling.aclose()


async def test_a_leaked_key_that_was_dropped_forges_nothing_for_anybody(service: CredentialsService) -> None:
    """Whoever has it writes what they like, the sequence too; a sibling that kept the published keys takes not one such token."""
    client = await client_of_new_key(service)
    genuine = await client.token()
    resources = service.resources
    leaked = await resources.oauth.keys.active()
    token = await AccessTokenReader(resources.oauth.keys, issuer=service.settings.issuer).read(genuine)
    assert token is not None

    def forged() -> str:
        changed = replace(token, token_id=typeids.new_id(), sequence=10**9, scopes=frozenset({"events:publish"}))
        return sign(changed, key=leaked.private, issuer=service.settings.issuer)

    async with on_socket(create_app(service.settings)) as url, AsyncExitStack() as stack:
        siblings = []
        for _ in range(2):
            siblings.append(AccessClient.open(url, SecretStr(service.service_key), issuer=service.settings.issuer))
            stack.push_async_callback(siblings[-1].aclose)
        warm, begins_later = siblings
        await follow(warm, heard_for_seconds=60)
        # While nobody knows of the leak, this is what the leaked key can do.
        assert await warm.verify(forged(), ip=None, scope="events:publish") is not None
        async with resources.database.transaction() as session:
            await replace_all(session, sealing=resources.sealing, actor=ACTOR, now=datetime.now(UTC))
        async with served_clock() as clock, asyncio.timeout(30):
            while await warm.verify(forged(), ip=None, scope="events:publish") is not None:
                await told(warm)  # one after the other: all run in one loop with the test
            assert clock.now() < 1.0
        await follow(begins_later, heard_for_seconds=60)
        for _ in range(100):
            for sibling in siblings:
                assert await sibling.verify(forged(), ip=None, scope="events:publish") is None
        # What is signed now is good at once, everywhere.
        await resources.feed.look()
        fresh = await client.token()
        for sibling in siblings:
            assert await sibling.verify(fresh, ip=None, scope="events:read") is not None


async def told(sibling: AccessClient) -> None:
    """Wait until credentials was told of the uses so far."""
    await asyncio.gather(*sibling._questions.under_way(), return_exceptions=True)


async def test_the_worker_rotates_by_age_and_forgets_what_is_over(service: CredentialsService) -> None:
    """A young key stays; an old one is followed by the next; previous keys and ended revocations go."""
    client = await client_of_new_key(service)
    token = await client.token()
    assert (await client.revoke(token)).is_success
    await tasks.keep_oauth({"resources": service.resources})
    assert await states(service.resources) == ["next", "active"]
    old = tasks.SIGNING_KEY_AGE_MAX + timedelta(seconds=1)
    await shift(service, "oauth_signing_keys", "activated_at", by=old)
    await tasks.keep_oauth({"resources": service.resources})
    assert await states(service.resources) == ["next", "active", "previous"]
    assert not await client.is_active(token)
    await shift(service, "oauth_signing_keys", "retired_at", by=timedelta(seconds=PREVIOUS_SECONDS + 1))
    await shift(service, "oauth_revoked_tokens", "ends_at", by=timedelta(hours=1))
    await tasks.keep_oauth({"resources": service.resources})
    assert await states(service.resources) == ["next", "active"]
    async with service.resources.database.connection() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM oauth_revoked_tokens")).scalar() == 0


async def shift(service: CredentialsService, table: str, column: str, *, by: timedelta) -> None:
    """Move times into the past."""
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql(f"UPDATE {table} SET {column} = {column} - $1::interval", (by,))  # noqa: S608 - our own names


@pytest.mark.parametrize(("option", "dies"), [((), False), (("--compromised",), True)])
async def test_the_command_rotates(service: CredentialsService, option: tuple[str, ...], *, dies: bool) -> None:
    """It prints the id of the key that signs now, and it is in the audit log."""
    client = await client_of_new_key(service)
    token = await client.token()
    settings = service.settings
    environment = {
        "PATH": os.environ["PATH"],
        "CAUSEWAY_DATABASE_URL": settings.database_url,
        "CAUSEWAY_QUEUE_URL": settings.queue_url,
        "CAUSEWAY_PEPPERS": settings.peppers.get_secret_value(),
        "CAUSEWAY_SEALING_KEYS": settings.sealing_keys.get_secret_value(),
    }
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "credentials", "rotate-signing-key", *option],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.startswith("signing with sig_")
    age(service.resources)
    assert header_of(await client.token())["kid"] == ran.stdout.split()[-1]
    await service.resources.feed.look()
    assert await client.is_active(token) is not dies
    async with service.resources.database.connection() as connection:
        actions = (
            await connection.exec_driver_sql("SELECT action FROM audit_entries WHERE target_kind = 'signing_key'")
        ).scalars()
        assert f"signing_key.{'replaced' if dies else 'rotated'}" in set(actions)
