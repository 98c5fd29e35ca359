"""`python -m embedded.migrate`: bring the local stack's databases to the newest schema, whether it runs or not."""

import asyncio
import json
import os
import sys

from embedded.engine import EngineError
from embedded.errors import StackError
from embedded.folder_lock import FolderInUseError, FolderLock
from embedded.one_shot import run_to_end
from embedded.plan import PARTS, data_dir_from, plan_from
from embedded.ports import PortsExhaustedError
from embedded.stack import Stack
from embedded.stack_file import STACK_FILE_NAME
from embedded.terminal import Terminal


def main() -> int:
    """Return the exit code."""
    os.umask(0o077)
    terminal = Terminal()
    data_dir = data_dir_from(os.environ)
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        try:
            lock = FolderLock(data_dir)
        except FolderInUseError:
            asyncio.run(_migrate_running(terminal))
            return 0
        try:
            asyncio.run(_migrate_stopped(terminal))
        finally:
            lock.release()
    except (StackError, EngineError, PortsExhaustedError, OSError) as error:
        terminal.error(str(error))
        return 1
    return 0


async def _migrate_running(terminal: Terminal) -> None:
    path = data_dir_from(os.environ) / STACK_FILE_NAME
    try:
        databases: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["databases"]
    except FileNotFoundError as error:
        raise StackError("the stack is just starting, and migrates by itself") from error
    for service in PARTS:
        environment = os.environ | {"CAUSEWAY_DATABASE_URL": databases[service.name]}
        command = [sys.executable, "-m", f"{service.package}.migrate"]
        await run_to_end(f"the migration of {service.name}", command, environment=environment)
        terminal.done(service.name, "migrated, while the stack runs")


async def _migrate_stopped(terminal: Terminal) -> None:
    plan = plan_from(os.environ | {"CAUSEWAY_PORT_BASE": "0"})
    stack = Stack(plan, terminal, os.environ)
    try:
        await stack.bring_up_databases()
    finally:
        await stack.take_down()


if __name__ == "__main__":
    sys.exit(main())
