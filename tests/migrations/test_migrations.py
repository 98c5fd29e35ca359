"""Every service's migrations: up, down to nothing, up again to the same; twice at once; and packed into the wheel."""

import asyncio
import zipfile
from pathlib import Path

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hatchling.builders.wheel import WheelBuilder

from shared import migrate
from support.databases import Databases

ROOT = Path(__file__).parents[2]
SERVICES = {
    "credentials": "services/credentials",
    "webhook_dispatcher": "services/webhook-dispatcher",
    "wallet_gateway": "services/wallet-gateway",
    "reference_wallet": "deploy/reference-wallet",
}

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2
"""
_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
_LEFT_OVER = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version'
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture(params=SERVICES)
def package(request: pytest.FixtureRequest) -> str:
    """Return the import name of one service after the other."""
    return str(request.param)


async def test_down_leaves_nothing_and_up_again_is_the_same(package: str, databases: Databases) -> None:
    """Taking a service's migrations back removes what they made, and applying them again gives the same tables."""
    async with databases.temporary() as url:
        await asyncio.to_thread(migrate.upgrade, package, _for_sqlalchemy(url))
        first = await _form(url)
        await asyncio.to_thread(migrate.downgrade, package, _for_sqlalchemy(url), revision="base")
        assert await _rows(url, _LEFT_OVER) == []
        await asyncio.to_thread(migrate.upgrade, package, _for_sqlalchemy(url))
        assert await _form(url) == first


async def test_two_upgrades_at_once_both_succeed(package: str, databases: Databases) -> None:
    """Two processes that migrate the same new database at once wait for one another."""
    async with databases.temporary() as url:
        runs = [asyncio.to_thread(migrate.upgrade, package, _for_sqlalchemy(url)) for _ in range(2)]
        await asyncio.gather(*runs)
        assert await _rows(url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_history_is_one_line(package: str) -> None:
    """A service's migrations form one line with one newest revision."""
    config = Config()
    config.set_main_option("script_location", str(migrate.migrations_of(package)))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_wheel_holds_the_migrations(package: str, tmp_path: Path) -> None:
    """The wheel that the containers install carries every migration inside the package, where they are looked for first."""
    home = ROOT / SERVICES[package]
    wheel = next(WheelBuilder(str(home)).build(directory=str(tmp_path), versions=["standard"]))
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if "/migrations/versions/" in name}
    expected = {f"{package}/migrations/versions/{path.name}" for path in (home / "migrations/versions").glob("*.py")}
    assert expected
    assert packed == expected


def _for_sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


async def _form(url: str) -> list[list[tuple[object, ...]]]:
    return [await _rows(url, query) for query in (_COLUMNS, _CONSTRAINTS, _INDEXES)]


async def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
