"""``python -m webhook_dispatcher retention``: what operators set for a tenant."""

import asyncio
import os
import sys

import asyncpg
import pytest

from shared import typeids
from support.databases import Databases
from support.sibling_service import NOBODY_LISTENS


async def _command(url: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webhook_dispatcher", "retention", *arguments),
        env={**os.environ, "CAUSEWAY_DATABASE_URL": url, "CAUSEWAY_QUEUE_URL": NOBODY_LISTENS},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_policy_is_shown_set_and_audited(databases: Databases) -> None:
    """Only what is named changes; looking changes nothing; `default` takes a setting back."""
    tenant = typeids.encode("ten", typeids.new_id())
    async with databases.temporary("webhook_dispatcher") as url:
        default = "history: as long as the platform keeps it\npayloads: as long as the history\n"
        target = url.replace("postgresql://", "postgresql+asyncpg://", 1)
        assert await _command(target, tenant) == (0, default)
        code, shown = await _command(target, tenant, "--days", "30", "--redact-after-days", "7")
        assert (code, shown) == (0, "history: 30 days\npayloads: 7 days\n")
        _, shown = await _command(target, tenant, "--days", "default")
        assert shown == "history: as long as the platform keeps it\npayloads: 7 days\n"
        assert await _command(target, tenant, "--environment", "test") == (0, default)
        connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://", 1))
        entries = await connection.fetch("SELECT action, actor, target, changes::text FROM audit_entries ORDER BY id")
        await connection.close()
    assert [tuple(entry)[:3] for entry in entries] == [("retention.changed", "system", tenant)] * 2
    assert entries[0]["changes"] == '{"retention_days": 30, "redact_after_days": 7}'


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense", "--days", "30"),
        ("ten_01hz0000000000000000000000", "--days", "6"),
        ("ten_01hz0000000000000000000000", "--days", "91"),
        ("ten_01hz0000000000000000000000", "--days", "many"),
        ("ten_01hz0000000000000000000000", "--redact-after-days", "-1"),
        ("ten_01hz0000000000000000000000", "--days", "10", "--redact-after-days", "11"),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(databases: Databases, arguments: tuple[str, ...]) -> None:
    """Ids are recognised for a week at least, nobody keeps for longer than the platform, nothing is redacted after it is gone."""
    async with databases.temporary("webhook_dispatcher") as url:
        code, shown = await _command(url.replace("postgresql://", "postgresql+asyncpg://", 1), *arguments)
    assert code == 1
    assert shown.startswith("refused: ")
