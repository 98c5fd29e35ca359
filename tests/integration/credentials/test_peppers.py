"""Rotating the pepper: keys move at their next use, nothing is denied meanwhile, and the old one goes when nothing needs it."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from credentials.peppers.service import RetirementRefusedError, progress, retire
from credentials.resources import Resources, open_resources
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.peppers import NEW, rotated
from support.queries import recorded_statements


@pytest.fixture
async def before(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a service on a database of its own, under its first pepper."""
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as running:
        yield running


async def judged(resources: Resources, key: dict[str, Any]) -> bool:
    """Tell whether a key is valid for these resources."""
    return (await resources.access.judge(key["key"], ip=None)).principal is not None


async def peppers_of(resources: Resources) -> dict[str, tuple[int, int]]:
    """Return how many texts stand under each pepper: valid ones, and all."""
    return {standing.pepper_id: (standing.live, standing.all) for standing in (await progress(resources)).standings}


async def test_keys_move_at_their_next_use_and_nothing_is_denied(before: CredentialsService) -> None:
    """Old and new processes verify all the time; a moved key is written once, in one statement with the others."""
    tenant_id = await before.new_tenant()
    used, idle = await before.new_key(tenant_id), await before.new_key(tenant_id)
    async with AsyncExitStack() as stack:
        # First the new pepper comes last, so that processes know it before anything stands under it.
        last = await stack.enter_async_context(open_resources(rotated(before.settings, "p1", NEW), serves=False))
        assert await judged(last, used)
        await last.rehashes.flush()
        assert (await peppers_of(last))["p2"] == (0, 0)
        first = await stack.enter_async_context(open_resources(rotated(before.settings, NEW, "p1"), serves=False))
        for _ in range(3):
            assert await judged(first, used)
        with recorded_statements(first.database) as statements:
            await first.rehashes.flush()
            await first.rehashes.flush()
        assert len(statements) == 1
        stood = await peppers_of(first)
        assert stood["p2"] == (2, 2)  # the key that was used, and the tenant's security token
        assert stood["p1"] == (3, 3)  # the idle one, and the platform's two
        for resources in (last, first):
            assert [await judged(resources, key) for key in (used, idle)] == [True, True]
        only_new = await stack.enter_async_context(open_resources(rotated(before.settings, NEW), serves=False))
        assert [await judged(only_new, key) for key in (used, idle)] == [True, False]


async def test_new_and_rotated_keys_stand_under_the_new_pepper(before: CredentialsService) -> None:
    """The version in overlap stays under its own until it ends."""
    tenant_id = await before.new_tenant()
    made = await before.new_key(tenant_id)
    async with AsyncExitStack() as stack:
        settings = rotated(before.settings, NEW, "p1")
        after = await stack.enter_async_context(credentials_service(settings))
        headers = {"x-tenant-id": tenant_id}
        path = f"/v1/api-keys/{made['id']}/rotate"
        answer = await after.platform.post(path, json={"overlap_seconds": 60}, headers=headers)
        rotated_key = answer.json()
        only_new = await stack.enter_async_context(open_resources(rotated(before.settings, NEW), serves=False))
        assert [await judged(only_new, key) for key in (made, rotated_key)] == [False, True]
        assert [await judged(after.resources, key) for key in (made, rotated_key)] == [True, True]


async def test_a_pepper_goes_when_nothing_needs_it(before: CredentialsService) -> None:
    """Refused while a valid key needs it, and for the current one; revoked keys need none; force ends the rest, audited."""
    tenant_id = await before.new_tenant()
    idle, revoked = await before.new_key(tenant_id), await before.new_key(tenant_id)
    await before.platform.post(f"/v1/api-keys/{revoked['id']}/revoke", headers={"x-tenant-id": tenant_id})
    async with open_resources(rotated(before.settings, NEW, "p1"), serves=False) as resources:
        for key in (before.platform_key, before.service_key):
            await resources.access.judge(key, ip=None)
        await resources.rehashes.flush()
        await progress(resources)
        with pytest.raises(RetirementRefusedError, match="put a newer pepper"):
            await retire(resources, pepper_id="p2", force=True)
        with pytest.raises(RetirementRefusedError, match=idle["id"]) as refused:
            await retire(resources, pepper_id="p1", force=False)
        assert revoked["id"] not in str(refused.value)
        assert await retire(resources, pepper_id="p1", force=True) == 1
        assert await retire(resources, pepper_id="p1", force=False) == 0
        assert await peppers_of(resources) == {"p1": (0, 2), "p2": (3, 3)}
        assert not await judged(resources, idle)
        async with resources.database.connection() as connection:
            entry = (
                await connection.exec_driver_sql(
                    "SELECT action, actor_id, changes FROM audit_entries WHERE target_id = $1 AND number > 1"
                    " ORDER BY number DESC LIMIT 1",
                    (idle["id"],),
                )
            ).one()
        assert tuple(entry) == (
            "api_key.version_ended",
            "rotate-pepper",
            '{"because":"its pepper was retired","ended":[1]}',
        )
    # The warm process heard of it by the feed, and the owner gets a new text by rotating; the ended one is not revived.
    async with credentials_service(rotated(before.settings, NEW)) as after:
        path = f"/v1/api-keys/{idle['id']}/rotate"
        answer = await after.platform.post(path, json={"overlap_seconds": 60}, headers={"x-tenant-id": tenant_id})
        assert [version["status"] for version in answer.json()["versions"]] == ["ended", "active"]
        assert (await after.client(answer.json()["key"]).get("/v1/whoami")).status_code == 200


async def test_a_warm_process_denies_what_was_ended(before: CredentialsService) -> None:
    """A text that is ended with its pepper goes through the feed like any revocation."""
    made = await before.new_key(await before.new_tenant())
    client = before.client(made["key"])
    assert (await client.get("/v1/whoami")).status_code == 200
    async with open_resources(rotated(before.settings, NEW, "p1"), serves=False) as resources:
        await retire(resources, pepper_id="p1", force=True)
    async with asyncio.timeout(1):
        while (await client.get("/v1/whoami")).status_code == 200:
            await asyncio.to_thread(int)


async def test_the_command(before: CredentialsService) -> None:
    """It says where everything stands, refuses with exit code 1, and generates a pepper without a database."""
    await before.new_key(await before.new_tenant())
    settings = rotated(before.settings, NEW, "p1")
    environment = {
        "PATH": os.environ["PATH"],
        "CAUSEWAY_DATABASE_URL": settings.database_url,
        "CAUSEWAY_QUEUE_URL": settings.queue_url,
        "CAUSEWAY_PEPPERS": settings.peppers.get_secret_value(),
        "CAUSEWAY_SEALING_KEYS": settings.sealing_keys.get_secret_value(),
    }
    shown, refused, forced, generated, explained = [
        await asyncio.to_thread(_run, environment, *arguments)
        for arguments in ((), ("--retire", "p1"), ("--retire", "p1", "--force"), ("--generate",), ("--help",))
    ]
    assert (shown.returncode, shown.stdout.splitlines()) == (
        0,
        ["p1: 3 valid of 3 (active)", "p2: 1 valid of 1 (current)"],
    )
    assert refused.returncode == 1
    assert "refused: valid keys stand under p1: key_" in refused.stderr
    assert (forced.returncode, "ended now: 3" in forced.stdout) == (0, True)
    pepper_id, _, pepper = generated.stdout.strip().partition(":")
    assert pepper_id
    assert len(base64.b64decode(pepper)) == 32
    assert "next time it is used" in " ".join(explained.stdout.split())
    secrets = (settings.peppers.get_secret_value().split(":")[1], NEW.split(":")[1])
    assert not any(secret in run.stdout + run.stderr for run in (shown, refused, forced) for secret in secrets)


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "credentials", "rotate-pepper", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
