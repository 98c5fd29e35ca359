"""`python -m embedded`: the whole stack in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping

import httpx2
from redis.exceptions import RedisError

from embedded.demo import follow_receiver, run_demo
from embedded.engine import EngineError
from embedded.errors import StackError
from embedded.folder_lock import FolderInUseError, FolderLock
from embedded.plan import StackPlan, plan_from
from embedded.ports import PortsExhaustedError
from embedded.stack import Stack
from embedded.terminal import Terminal

# What the world outside causes; anything else is a fault of this program and shows its traceback.
_EXPECTED_ERRORS = (StackError, EngineError, FolderInUseError, PortsExhaustedError, OSError, httpx2.HTTPError)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Return the exit code: 0 after an orderly stop, 1 when the stack could not run."""
    # What is made here is for this user alone; folders that PostgreSQL's user has to pass through are opened singly.
    os.umask(0o077)
    terminal = Terminal()
    try:
        plan = plan_from(os.environ)
        plan.data_dir.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(plan.data_dir)
    except FolderInUseError as error:
        terminal.error(
            f"{error}.\nA stack runs there already. For a second one: CAUSEWAY_DATA_DIR=… CAUSEWAY_PORT_BASE=…"
        )
        return 1
    except _EXPECTED_ERRORS as error:
        terminal.error(str(error))
        return 1
    try:
        return asyncio.run(_run(plan, terminal, os.environ))
    finally:
        lock.release()


async def _run(plan: StackPlan, terminal: Terminal, inherited: Mapping[str, str]) -> int:
    stack = Stack(plan, terminal, inherited)
    stop_wanted = asyncio.Event()
    work = asyncio.create_task(_bring_up_and_show(stack, terminal))
    stopping = asyncio.create_task(stop_wanted.wait())

    def on_signal() -> None:
        # The second one means it: nothing waits any more.
        if stop_wanted.is_set():
            stack.supervisor.hurry()
        stop_wanted.set()

    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    failed = work.done() and work.exception() is not None
    if not failed:
        await stopping
    stopping.cancel()
    work.cancel()
    [outcome] = await asyncio.gather(work, return_exceptions=True)
    terminal.heading("Stopping")
    started_at = time.monotonic()
    await stack.take_down()
    terminal.done("stopped", "no process is left", seconds=time.monotonic() - started_at)
    if not failed:
        return 0
    if not isinstance(outcome, _EXPECTED_ERRORS):
        assert isinstance(outcome, BaseException)
        raise outcome
    terminal.error(str(outcome))
    return 1


async def _bring_up_and_show(stack: Stack, terminal: Terminal) -> None:
    terminal.heading("Causeway, the local stack")
    started_at = time.monotonic()
    tenancy = await stack.bring_up()
    terminal.done("ready", str(stack.file.path), seconds=time.monotonic() - started_at)
    if stack.plan.demo:
        try:
            progress = await run_demo(stack, tenancy, terminal)
        except (StackError, httpx2.HTTPError, RedisError) as error:
            # The stack itself is up, and whoever looks for the cause needs it.
            terminal.failed("the demo", str(error))
            terminal.heading("Demo incomplete: it could not run. Ctrl-C stops the stack.")
        else:
            await follow_receiver(stack, progress, terminal)


if __name__ == "__main__":
    sys.exit(main())
