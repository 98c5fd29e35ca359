"""Benchmarks of delivery: throughput, latency, isolation from a hanging destination, publishing over HTTP."""

import asyncio
import itertools
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.http_load import run_load
from benchmarks.stack import EVENT_TYPES, Stack

PAYLOAD_BYTES = 1024
_SETTLE_SECONDS = 90
_PIPELINE = 200
_FILL_BATCH = 500
_FILL_BODIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Where one stream of events goes: a tenant and an event type that exactly one webhook of it selects."""

    tenant_id: str
    owner_key: str
    event_type: str


async def make_lanes(stack: Stack, count: int, *, name: str) -> list[Lane]:
    """Make ``count`` webhooks over as many tenants as needed, one event type each."""
    lanes: list[Lane] = []
    while len(lanes) < count:
        tenant_id, owner_key = await stack.new_tenant(f"{name}-{len(lanes)}")
        for event_type in EVENT_TYPES[: count - len(lanes)]:
            await stack.new_webhook(owner_key, event_type)
            lanes.append(Lane(tenant_id=tenant_id, owner_key=owner_key, event_type=event_type))
    return lanes


async def throughput(stack: Stack, lanes: Sequence[Lane], *, events: int) -> dict[str, float]:
    """Publish ``events`` to the stream as fast as it takes them; deliveries per second from the first to the last."""
    await stack.reset()
    turn = itertools.cycle(lanes)
    published_at = time.time_ns()
    for start in range(0, events, _PIPELINE):
        pipe = stack.queue.pipeline(transaction=False)
        for number in range(start, min(start + _PIPELINE, events)):
            pipe.xadd(stack.info["queue"]["stream"], {"event": _event(next(turn), number, time.time_ns())})
        await pipe.execute()
    counts = await _settled(stack, events)
    await _ledgers(stack, lanes)
    seconds = (counts["last_ns"] - published_at) / 1e9
    return {
        "deliveries_per_second": events / seconds,
        "duplicates": counts["received"] - counts["unique"],
        "seconds": seconds,
        "worker_mib": stack.workers_mib(peak=True),
    }


async def latency(stack: Stack, lanes: Sequence[Lane], *, per_second: int, seconds: int) -> dict[str, float]:
    """Publish on a fixed schedule; latency from the scheduled time to the first byte at the destination."""
    await stack.reset()
    turn = itertools.cycle(lanes)
    total = per_second * seconds
    start_ns = time.time_ns() + 200_000_000
    for number in range(total):
        scheduled_ns = start_ns + number * 1_000_000_000 // per_second
        delay = (scheduled_ns - time.time_ns()) / 1e9
        if delay > 0:
            await asyncio.sleep(delay)
        await stack.queue.xadd(stack.info["queue"]["stream"], {"event": _event(next(turn), number, scheduled_ns)})
    counts = await _settled(stack, total)
    await _ledgers(stack, lanes)
    latencies = sorted(counts["latencies_ms"])
    return {
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "max_ms": latencies[-1],
        "duplicates": counts["received"] - counts["unique"],
    }


async def hanging(stack: Stack, lanes: Sequence[Lane], *, per_second: int, seconds: int) -> dict[str, float]:
    """Measure the same load while one more destination hangs until its timeout and gets its share of the events."""
    lane = lanes[0]
    await stack.new_webhook(lane.owner_key, lane.event_type, path="/hang", timeout_seconds=30, name="hangs")
    return await latency(stack, lanes, per_second=per_second, seconds=seconds)


async def fill_up(stack: Stack, *, pending: int) -> Lane:
    """Publish ``pending`` events to one more webhook, whose destination refuses every connection."""
    tenant_id, owner_key = await stack.new_tenant("dead")
    lane = Lane(tenant_id=tenant_id, owner_key=owner_key, event_type="withdrawal.rejected")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    await stack.new_webhook(owner_key, lane.event_type, url=url)
    for start in range(0, pending, _FILL_BODIES * _FILL_BATCH):
        bodies = [
            _batch(lane, range(first, first + _FILL_BATCH))
            for first in range(start, min(start + _FILL_BODIES * _FILL_BATCH, pending), _FILL_BATCH)
        ]
        await _post_all(stack, owner_key, bodies, accepted=_FILL_BATCH, connections=4)
    # What is asked is what so much that waits costs, not what writing it within a minute leaves to the disk and the vacuum.
    await stack.settle_database("webhook-dispatcher")
    return lane


async def beside_pending(
    stack: Stack, lanes: Sequence[Lane], dead: Lane, *, events: int, per_second: int, seconds: int
) -> dict[str, float]:
    """Measure throughput and latency of ``lanes`` while ``dead`` has its pending deliveries; with the workers' memory."""
    found = await throughput(stack, lanes, events=events)
    figures = {"deliveries_per_second": found["deliveries_per_second"]}
    paced = await latency(stack, lanes, per_second=per_second, seconds=seconds)
    figures |= {"p50_ms": paced["p50_ms"], "p99_ms": paced["p99_ms"]}
    ledger = await stack.ledger(dead.owner_key)
    return {**figures, "pending": ledger["pending"] + ledger["held"], "worker_mib": stack.workers_mib()}


async def publishing(stack: Stack, *, requests: int, batch: int, concurrency: int = 16) -> dict[str, float]:
    """Events per second that one API process takes over HTTP, none of them with a webhook."""
    tenant_id, owner_key = await stack.new_tenant("publishing")
    lane = Lane(tenant_id=tenant_id, owner_key=owner_key, event_type="withdrawal.rejected")
    bodies = [_batch(lane, range(number * batch, (number + 1) * batch)) for number in range(requests)]
    figures = await _post_all(stack, owner_key, bodies, accepted=batch, connections=concurrency)
    accepted = (await stack.ledger(owner_key))["accepted"]
    if accepted != requests * batch:
        raise RuntimeError(f"accepted {accepted} of {requests * batch}, the run is void")
    return {
        "events_per_second": figures["per_second"] * batch,
        "p50_ms": figures["p50_ms"],
        "p99_ms": figures["p99_ms"],
    }


def _batch(lane: Lane, numbers: range) -> str:
    events = [_event(lane, number, time.time_ns(), streamed=False).decode() for number in numbers]
    return events[0] if len(events) == 1 else '{"events":[' + ",".join(events) + "]}"


async def _post_all(
    stack: Stack, owner_key: str, bodies: Sequence[str], *, accepted: int, connections: int
) -> dict[str, float]:
    return await run_load(
        {
            "urls": [stack.dispatcher_url],
            "path": "/v1/events",
            "headers": {"x-api-key": owner_key},
            "bodies": list(bodies),
            "connections": connections,
            "each_once": True,
            "status": 202,
            "holds": f'"accepted":{accepted},',
        }
    )


async def _settled(stack: Stack, expected: int) -> dict[str, Any]:
    """Wait until the receiver has ``expected`` different events."""
    async with asyncio.timeout(_SETTLE_SECONDS):
        while True:
            counts = await stack.received()
            if counts["unique"] >= expected:
                return counts
            await asyncio.sleep(0.2)


async def _ledgers(stack: Stack, lanes: Sequence[Lane]) -> None:
    for owner_key in dict.fromkeys(lane.owner_key for lane in lanes):
        await stack.ledger(owner_key)


def _event(lane: Lane, number: int, scheduled_ns: int, *, streamed: bool = True) -> bytes:
    """Return an event of about ``PAYLOAD_BYTES``; ``scheduled_ns`` has 19 digits until the year 2286.

    Put together by hand: what it costs is taken from the processes that are measured.
    """
    tenant = f',"tenant_id":"{lane.tenant_id}"' if streamed else ""
    event = (
        f'{{"id":"b{scheduled_ns}-{number}","type":"{lane.event_type}","subject":"s{number}"{tenant},"data":'
        f'{{"scheduled_ns":{scheduled_ns},"id":"r{number % 10**7:07d}","status":"approved","note":"'
    )
    return f'{event:x<{PAYLOAD_BYTES - 3}}"}}}}'.encode()
