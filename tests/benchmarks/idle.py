"""What the stack costs while nobody wants anything of it: processor of the dispatcher's workers, commands of the queue."""

import asyncio
import os
import time
from pathlib import Path

from benchmarks.stack import Stack

_CALM_SECONDS = 5
_OURS = 1
"""The question itself."""


async def idle(stack: Stack, *, seconds: int) -> dict[str, float]:
    """Watch for a while: the share of a core that the busiest worker takes, and what all processes ask of the queue."""
    await asyncio.sleep(_CALM_SECONDS)
    pids = stack.worker_pids()
    commands, used, started = await _commands(stack), [_processor_seconds(pid) for pid in pids], time.perf_counter()
    await asyncio.sleep(seconds)
    watched_seconds = time.perf_counter() - started
    now_used = [_processor_seconds(pid) for pid in pids]
    asked = await _commands(stack) - commands - _OURS
    return {
        "worker_core_percent": max(now - then for now, then in zip(now_used, used, strict=True))
        / watched_seconds
        * 100,
        "queue_commands_per_second": asked / watched_seconds,
        "worker_mib": stack.workers_mib(),
    }


async def _commands(stack: Stack) -> int:
    """Return how many commands the queue server has done, for whomever."""
    counts = await stack.queue.info("commandstats")
    return sum(int(entry["calls"]) for entry in counts.values())


def _processor_seconds(pid: int) -> float:
    """Return how long a process has run, in user mode and for it in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
