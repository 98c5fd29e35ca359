"""Re-sealing: every kept secret comes under the newest key; twice, or twice at once, is harmless."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pydantic import SecretStr

from credentials.resealing.sealed_columns import SEALED_COLUMNS, SealedColumn
from credentials.resealing.service import reseal
from shared.database import Database
from shared.sealing import SealContext, SealingKeyring
from shared.typeids import new_id
from support.credentials_service import credentials_service, settings_for
from support.databases import Databases

COLUMN = SealedColumn(table="vault", column="sealed", row_id="vault_id")
PLATFORMS = SealedColumn(table="vault", column="platform_sealed", row_id="vault_id", tenant_id=None)
OLD, NEW = os.urandom(32), os.urandom(32)
ROWS = 250


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """Return a database with a table of sealed values, more than one page of it, some of them absent."""
    async with databases.temporary("credentials") as url:
        opened = Database.open(settings_for(url).database_url, application_name="test", pool_size=4)
        async with opened.connection() as connection:
            await connection.exec_driver_sql(
                "CREATE TABLE vault (vault_id uuid PRIMARY KEY, tenant_id uuid, sealed bytea, platform_sealed bytea)"
            )
        yield opened
        await opened.aclose()


def context(row_id: UUID, tenant_id: UUID | None, column: SealedColumn) -> SealContext:
    """Return where a value of the table lives."""
    return SealContext(
        table=column.table, column=column.column, row_id=row_id, tenant_id=tenant_id if column.tenant_id else None
    )


async def fill(database: Database, keyring: SealingKeyring) -> dict[UUID, UUID]:
    """Store sealed values; every third row has none in the second column. Return tenant by row."""
    tenants = {new_id(): new_id() for _ in range(ROWS)}
    async with database.connection() as connection:
        for number, (row_id, tenant_id) in enumerate(tenants.items()):
            sealed = keyring.seal(row_id.bytes, context=context(row_id, tenant_id, COLUMN))
            platform = keyring.seal(b"p" + row_id.bytes, context=context(row_id, tenant_id, PLATFORMS))
            await connection.exec_driver_sql(
                "INSERT INTO vault VALUES ($1, $2, $3, $4)",
                (row_id, tenant_id, sealed, platform if number % 3 else None),
            )
    return tenants


async def values(database: Database) -> dict[UUID, tuple[bytes, bytes | None]]:
    """Return the stored values by row."""
    async with database.connection() as connection:
        rows = await connection.exec_driver_sql("SELECT vault_id, sealed, platform_sealed FROM vault")
        return {UUID(bytes=row.vault_id.bytes): (row.sealed, row.platform_sealed) for row in rows}


async def test_everything_comes_under_the_newest_key(database: Database) -> None:
    """Then the old key can go; each value is still bound to its own row; a second run changes no byte."""
    tenants = await fill(database, SealingKeyring({"old": OLD}))
    both = SealingKeyring({"new": NEW, "old": OLD})
    results = await reseal(database, keyring=both, columns=(COLUMN, PLATFORMS))
    assert [(result.resealed, result.as_they_were, result.unopened) for result in results] == [
        (ROWS, 0, []),
        (ROWS - len(range(0, ROWS, 3)), 0, []),
    ]
    stored = await values(database)
    new = SealingKeyring({"new": NEW})
    for row_id, (sealed, platform) in stored.items():
        assert new.open(sealed, context=context(row_id, tenants[row_id], COLUMN)) == row_id.bytes
        if platform is not None:
            assert new.open(platform, context=context(row_id, tenants[row_id], PLATFORMS)) == b"p" + row_id.bytes
    again = await reseal(database, keyring=new, columns=(COLUMN, PLATFORMS))
    assert [(result.resealed, result.unopened) for result in again] == [(0, []), (0, [])]
    assert await values(database) == stored


async def test_two_runs_at_once_leave_everything_sound(database: Database) -> None:
    """They take turns at each page; each value was sealed anew once."""
    tenants = await fill(database, SealingKeyring({"old": OLD}))
    both = SealingKeyring({"new": NEW, "old": OLD})
    runs = await asyncio.gather(*(reseal(database, keyring=both, columns=(COLUMN,)) for _ in range(2)))
    assert sum(result.resealed for (result,) in runs) == ROWS
    for row_id, (sealed, _) in (await values(database)).items():
        assert both.open(sealed, context=context(row_id, tenants[row_id], COLUMN)) == row_id.bytes


async def test_what_does_not_open_stays_and_is_told(database: Database) -> None:
    """A value of another row, and one whose key is gone: both are left as they are, and the others are sealed anew."""
    tenants = await fill(database, SealingKeyring({"old": OLD}))
    swapped, lost = [*tenants][:2]
    other = SealingKeyring({"gone": os.urandom(32)}).seal(b"x", context=context(lost, tenants[lost], COLUMN))
    async with database.connection() as connection:
        await connection.exec_driver_sql(
            "UPDATE vault SET sealed = (SELECT sealed FROM vault WHERE vault_id = $2) WHERE vault_id = $1",
            (swapped, [*tenants][5]),
        )
        await connection.exec_driver_sql("UPDATE vault SET sealed = $2 WHERE vault_id = $1", (lost, other))
    before = await values(database)
    (result,) = await reseal(database, keyring=SealingKeyring({"new": NEW, "old": OLD}), columns=(COLUMN,))
    assert (result.resealed, sorted(result.unopened)) == (ROWS - 2, sorted([swapped, lost]))
    after = await values(database)
    assert [after[row_id] for row_id in (swapped, lost)] == [before[row_id] for row_id in (swapped, lost)]


async def test_every_sealed_column_is_registered(database: Database) -> None:
    """A column whose name says that it is sealed cannot be forgotten."""
    async with database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'bytea' AND column_name LIKE '%sealed%' AND table_name <> 'vault'"
        )
        found = {tuple(row) for row in rows}
    assert found == {(column.table, column.column) for column in SEALED_COLUMNS}


async def test_the_command(databases: Databases) -> None:
    """It seals the service's own secrets anew; without the old key it says what does not open, and exits 1."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url)
        async with credentials_service(settings) as service:
            tenant_id = await service.new_tenant()
            owner = await service.new_owner(tenant_id)
            token = (await owner.post("/v1/security-token/reveal")).json()["token"]
        old = settings.sealing_keys.get_secret_value()
        new = f"s2:{base64.b64encode(NEW).decode()}"
        environment = {
            "PATH": os.environ["PATH"],
            "CAUSEWAY_DATABASE_URL": settings.database_url,
            "CAUSEWAY_QUEUE_URL": settings.queue_url,
        }
        failed, first, second = [
            await asyncio.to_thread(_run, {**environment, "CAUSEWAY_SEALING_KEYS": keys})
            for keys in (new, f"{new},{old}", f"{new},{old}")
        ]
        assert (failed.returncode, "does not open" in failed.stderr) == (1, True)
        assert (first.returncode, second.returncode) == (0, 0)
        assert "security_tokens.sealed_token: 1 sealed anew, 0 as they were" in first.stdout
        assert "security_tokens.sealed_token: 0 sealed anew, 1 as they were" in second.stdout
        rotated = settings.model_copy(update={"sealing_keys": SecretStr(new)})
        async with credentials_service(rotated) as service:
            headers = {"x-tenant-id": tenant_id}
            made = await service.new_key(tenant_id, roles=["owner"])
            shown = await service.client(made["key"]).post("/v1/security-token/reveal", headers=headers)
            assert shown.json()["token"] == token


def _run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "credentials", "reseal"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
