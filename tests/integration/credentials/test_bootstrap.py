"""The platform's first keys: registered or generated, and the same however often it is done."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from credentials.bootstrap.service import (
    SCOPES,
    GivenKeyRefusedError,
    generate_once,
    register_given,
)
from credentials.resources import Resources, open_resources
from shared import key_format
from shared.scopes import PLATFORM_SCOPES
from support.credentials_service import CredentialsService, settings_for
from support.databases import Databases


@pytest.fixture
async def resources(databases: Databases) -> AsyncIterator[Resources]:
    """Return the resources of a service whose database is new."""
    async with databases.temporary("credentials") as url, open_resources(settings_for(url), serves=False) as opened:
        yield opened


async def test_a_given_key_is_registered_once(resources: Resources) -> None:
    """Twice at once and again later: one key, which then may do what the platform may."""
    text = SecretStr(key_format.generate("service", "live"))
    first, second = await asyncio.gather(*(register_given(resources, name="platform", text=text) for _ in range(2)))
    again = await register_given(resources, name="platform", text=text)
    assert first.key_id == second.key_id == again.key_id
    assert sorted([first.is_new, second.is_new]) == [False, True]
    assert not again.is_new
    verdict = await resources.access.judge(text.get_secret_value(), ip=None)
    assert verdict.principal is not None
    assert verdict.principal.scopes == SCOPES["platform"] >= PLATFORM_SCOPES


async def test_a_key_is_generated_once(resources: Resources) -> None:
    """The first run shows its text, the next ones know that there is one; two at once make one."""
    runs = await asyncio.gather(*(generate_once(resources, name="siblings") for _ in range(2)))
    texts = [run.text for run in runs if run.text is not None]
    assert len(texts) == 1
    assert (await generate_once(resources, name="siblings")).text is None
    verdict = await resources.access.judge(texts[0].get_secret_value(), ip=None)
    assert verdict.principal is not None
    assert verdict.principal.scopes == {"credentials:verify"}


async def test_the_publishers_key_may_publish_and_nothing_else(resources: Resources) -> None:
    """By it wallet-gateway tells the dispatcher what transfers have come to."""
    text = SecretStr(key_format.generate("service", "live"))
    await register_given(resources, name="publisher", text=text)
    verdict = await resources.access.judge(text.get_secret_value(), ip=None)
    assert verdict.principal is not None
    assert verdict.principal.scopes == {"events:publish"}


async def test_scopes_follow_the_release(resources: Resources) -> None:
    """A platform key of an older release gets today's scopes, and the change is announced and recorded."""
    text = SecretStr(key_format.generate("service", "live"))
    await register_given(resources, name="platform", text=text)
    async with resources.database.connection() as connection:
        await connection.exec_driver_sql("UPDATE api_keys SET scopes = '{tenants:read}'")
    await register_given(resources, name="platform", text=text)
    async with resources.database.connection() as connection:
        actions = (await connection.exec_driver_sql("SELECT action FROM audit_entries ORDER BY number")).scalars().all()
        revocations = (await connection.exec_driver_sql("SELECT reason FROM revocations")).scalars().all()
    assert actions == ["api_key.created", "api_key.updated"]
    assert revocations == ["api_key.updated"]
    verdict = await resources.access.judge(text.get_secret_value(), ip=None)
    assert verdict.principal is not None
    assert verdict.principal.scopes == SCOPES["platform"]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "cw_sv_live_" + "0" * 49, key_format.generate("secret", "live")],
    ids=["malformed", "wrong checksum", "other kind"],
)
async def test_a_text_that_is_no_service_key_is_refused(resources: Resources, text: str) -> None:
    """And the error does not show it."""
    with pytest.raises(GivenKeyRefusedError) as error:
        await register_given(resources, name="platform", text=SecretStr(text))
    assert text not in str(error.value)


async def test_a_revoked_key_does_not_come_back(service: CredentialsService) -> None:
    """Registering its text again is refused."""
    text = SecretStr(key_format.generate("service", "live"))
    registered = await register_given(service.resources, name="siblings", text=text)
    assert (await service.platform.post(f"/v1/api-keys/{registered.key_id}/revoke")).is_success
    with pytest.raises(GivenKeyRefusedError):
        await register_given(service.resources, name="siblings", text=text)
    assert (await service.client(text.get_secret_value()).get("/v1/whoami")).status_code == 401


async def test_the_command_reads_files_and_prints_only_what_it_made(databases: Databases, tmp_path: Path) -> None:
    """A given key is never printed; a generated one is, once."""
    platform_key = key_format.generate("service", "live")
    (tmp_path / "platform").write_text(platform_key + "\n")
    async with databases.temporary("credentials") as url:
        settings = settings_for(url)
        environment = {
            "PATH": os.environ["PATH"],
            "CAUSEWAY_DATABASE_URL": url,
            "CAUSEWAY_QUEUE_URL": settings.queue_url,
            "CAUSEWAY_PEPPERS": settings.peppers.get_secret_value(),
            "CAUSEWAY_SEALING_KEYS": settings.sealing_keys.get_secret_value(),
            "CAUSEWAY_PLATFORM_KEY_FILE": str(tmp_path / "platform"),
        }
        first, second = [await asyncio.to_thread(_run, environment, "bootstrap") for _ in range(2)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert platform_key not in first.stdout + first.stderr + second.stdout + second.stderr
    name, _, service_key = first.stdout.strip().partition("=")
    assert name == "siblings"
    assert key_format.parse(service_key) is not None
    assert second.stdout == ""


def test_generate_key_prints_a_well_formed_key() -> None:
    """For whoever makes secrets before there is a database."""
    made = _run({"PATH": os.environ["PATH"]}, "generate-key", "--kind", "service", "--environment", "test")
    form = key_format.parse(made.stdout.strip())
    assert form is not None
    assert (form.kind, form.environment) == ("service", "test")


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "credentials", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
