"""What breaks in the middle of a run. Each fault returns when it has happened and tells what it took with it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from support.stack import StackProcess

_GROUP = "webhook-dispatcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a fault did."""

    name: str
    lost_unread: frozenset[str] = frozenset()
    """Events that went with the queue before any worker had read them: never accepted."""
    workers_cut_off: int = 0
    """Workers whose requests in flight may end with an unknown outcome."""


Fault = Callable[[StackProcess, Random], Awaitable[Happened]]


async def kill_worker(stack: StackProcess, random: Random) -> Happened:
    """End one of the two workers as a crash does."""
    return await _kill(stack, f"webhook-dispatcher-worker-{random.choice((1, 2))}", workers=1)


async def kill_api(stack: StackProcess, _random: Random) -> Happened:
    """End the dispatcher's API as a crash does."""
    return await _kill(stack, "webhook-dispatcher-api-1")


async def kill_postgres(stack: StackProcess, _random: Random) -> Happened:
    """End the database server as a crash does. Where it is away for longer than a lease, lanes may change hands."""
    return await _kill(stack, "postgres", workers=2)


async def kill_valkey(stack: StackProcess, _random: Random) -> Happened:
    """End the queue server as a crash does."""
    return await _kill(stack, "valkey")


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
