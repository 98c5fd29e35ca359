"""Run a service's Alembic migrations; two at once wait for one another by an advisory lock.

Each service's ``python -m <service>.migrate`` calls this, and so do the stack and the tests.
"""

import asyncio
import importlib.util
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

_LOCK_KEY = 0x0CA05E_3A7E  # one arbitrary number for "migrating", the same in every release


def migrations_of(package: str) -> Path:
    """Return the migrations folder of a service: inside the installed package, else beside its ``src``."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    installed = home / "migrations"
    return installed if installed.is_dir() else home.parents[1] / "migrations"


def upgrade(package: str, database_url: str, *, revision: str = "head") -> None:
    """Bring the database of ``package`` to ``revision``. Safe to run twice and at the same time."""
    asyncio.run(_run(package, database_url, revision, command.upgrade))


def downgrade(package: str, database_url: str, *, revision: str) -> None:
    """Take the database of ``package`` back to ``revision``; for tests of migrations."""
    asyncio.run(_run(package, database_url, revision, command.downgrade))


async def _run(package: str, database_url: str, revision: str, direction: object) -> None:
    engine = create_async_engine(database_url)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
            await connection.commit()
            await connection.run_sync(_migrate, package, revision, direction is command.upgrade)
            await connection.commit()
            await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, package: str, revision: str, upwards: bool) -> None:  # noqa: FBT001 - run_sync passes positionally
    config = Config()
    config.set_main_option("script_location", str(migrations_of(package)))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    steps = script._upgrade_revs if upwards else script._downgrade_revs

    with EnvironmentContext(config, script, fn=lambda current, _context: steps(revision, current)) as environment:
        environment.configure(connection=connection, target_metadata=MetaData())
        with environment.begin_transaction():
            environment.run_migrations()
