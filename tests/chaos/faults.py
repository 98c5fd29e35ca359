"""What breaks in the middle of a run. Each fault returns when it has happened and tells what it took with it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random

from redis.asyncio import Redis

from support.stack import StackProcess

_GROUP = "webhook-dispatcher"
_LATE_WRITE_SECONDS = 3.0
"""With ``appendfsync everysec`` Valkey may answer up to two seconds before it hands an addition to the system."""
_PAUSE_SECONDS = 8.0
"""Longer than a lease."""
_CLOCK_JUMP_SECONDS = 600
_CLOCK_HOLD_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a fault did."""

    name: str
    lost_unread: frozenset[str] = frozenset()
    """Events that went with the queue before any worker had read them: never accepted."""
    workers_cut_off: int = 0
    """Workers whose requests in flight may end with an unknown outcome."""
    unread_since: float | None = None
    unread_until: float = 0.0
    """When (monotonic) what was added to the stream may have gone with the queue server, though it was answered for."""
    clock_moved: bool = False
    """Requests under way may carry a time that their receiver, whose clock moved too, no longer takes."""


Fault = Callable[[StackProcess, Random], Awaitable[Happened]]


async def kill_worker(stack: StackProcess, random: Random) -> Happened:
    """End one of the two workers as a crash does."""
    return await _kill(stack, f"webhook-dispatcher-worker-{random.choice((1, 2))}", workers=1)


async def kill_api(stack: StackProcess, _random: Random) -> Happened:
    """End the dispatcher's API as a crash does."""
    return await _kill(stack, "webhook-dispatcher-api-1")


async def stop_api(stack: StackProcess, _random: Random) -> Happened:
    """Stop the dispatcher's API in order, while events are being published to it."""
    name = "webhook-dispatcher-api-1"
    pid = stack.pid(name)
    os.kill(pid, signal.SIGTERM)
    await stack.until_replaced(name, pid=pid)
    return Happened(name=f"SIGTERM {name}")


async def kill_credentials(stack: StackProcess, _random: Random) -> Happened:
    """End the API that verifies keys as a crash does: nothing is published over HTTP until it is back."""
    return await _kill(stack, "credentials-api-1")


async def kill_postgres(stack: StackProcess, _random: Random) -> Happened:
    """End the database server as a crash does. Where it is away for longer than a lease, lanes may change hands."""
    return await _kill(stack, "postgres", workers=2)


async def kill_valkey(stack: StackProcess, _random: Random) -> Happened:
    """End the queue server as a crash does."""
    now = time.monotonic()
    return replace(await _kill(stack, "valkey"), unread_since=now - _LATE_WRITE_SECONDS, unread_until=now)


async def restart_postgres(stack: StackProcess, _random: Random) -> Happened:
    """Have the database server end all sessions and stop in the middle of their commits, and start again."""
    pid = stack.pid("postgres")
    os.kill(pid, signal.SIGINT)
    await stack.until_replaced("postgres", pid=pid)
    return Happened(name="restart of postgres", workers_cut_off=2)


async def stop_worker(stack: StackProcess, random: Random) -> Happened:
    """Stop a worker in order, under load; the supervisor starts it again."""
    name = f"webhook-dispatcher-worker-{random.choice((1, 2))}"
    pid = stack.pid(name)
    os.kill(pid, signal.SIGTERM)
    await stack.until_replaced(name, pid=pid)
    return Happened(name=f"SIGTERM {name}")


async def pause_worker(stack: StackProcess, random: Random) -> Happened:
    """Let a worker's leases run out while it is frozen, then let it go on with what it had in hand."""
    name = f"webhook-dispatcher-worker-{random.choice((1, 2))}"
    pid = stack.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    return Happened(name=f"pause of {name} beyond its leases", workers_cut_off=1)


async def destroy_group(stack: StackProcess, _random: Random) -> Happened:
    """Take the consumer group from the stream, with its list of what was read and is not acknowledged."""
    queue = stack.info()["queue"]
    async with Redis.from_url(queue["url"]) as client:
        await client.xgroup_destroy(queue["stream"], _GROUP)
    return Happened(name="XGROUP DESTROY")


async def move_clocks(stack: StackProcess, _random: Random) -> Happened:
    """Set every service's clock ten minutes ahead, then ten minutes back; the database's stays."""
    assert stack.clock_path is not None
    for ahead in (_CLOCK_JUMP_SECONDS, -_CLOCK_JUMP_SECONDS, 0):
        stack.clock_path.write_text(str(ahead))
        await asyncio.sleep(_CLOCK_HOLD_SECONDS)
    return Happened(name="clocks ± 10 min", clock_moved=True)


async def flush_queue(stack: StackProcess, _random: Random) -> Happened:
    """Empty the queue server, noting in the same transaction what no worker had read yet."""
    queue = stack.info()["queue"]
    client: Redis = Redis.from_url(queue["url"])
    async with client.pipeline(transaction=True) as pipe:
        pipe.xinfo_groups(queue["stream"])
        pipe.xrange(queue["stream"])
        pipe.flushall()
        groups, entries, _ = await pipe.execute()
    await client.aclose()
    last_read = next(_position(group["last-delivered-id"]) for group in groups if group["name"] == _GROUP.encode())
    unread = [fields for entry_id, fields in entries if _position(entry_id) > last_read]
    return Happened(
        name="FLUSHALL", lost_unread=frozenset(str(json.loads(fields[b"event"])["id"]) for fields in unread)
    )


async def _kill(stack: StackProcess, name: str, *, workers: int = 0) -> Happened:
    pid = stack.kill(name)
    await stack.until_replaced(name, pid=pid)
    return Happened(name=f"kill -9 {name}", workers_cut_off=workers)


def _position(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
