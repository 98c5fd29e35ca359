"""The load of a chaos run: what is published, how, and which deliveries that owes. Everything follows from a number."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
from redis.asyncio import Redis
from redis.exceptions import RedisError

from support.receiver_process import ReceiverProcess
from support.stack import StackProcess

TYPES = (
    "withdrawal.approved.node.1",
    "withdrawal.approved.node.2",
    "withdrawal.rejected",
    "prop_trading.approved.node.1",
    "kyc.approved.node.1",
    "transfer.approved.node.1",
)
STREAM_SHARE = 0.6
EVENTS_PER_SECOND = 1_000
_PIPELINE = 100
_BATCH = 10
_HTTP_TASKS = 2
_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One webhook of the run, as it is registered and as its receiver behaves."""

    name: str
    events: Sequence[str]
    trigger: str = "every"
    fails_one_in: int = 0
    delay_seconds: float = 0.0

    def selects(self, event_type: str) -> bool:
        """Tell, in our own words and not the dispatcher's, whether it wants an event."""
        return any(event_type == item or event_type.startswith(item.removesuffix("*")) for item in self.events)


DESTINATIONS = (
    Destination(name="every", events=("withdrawal.*",), delay_seconds=0.05),
    Destination(name="first", events=("withdrawal.*",), trigger="first"),
    Destination(name="some", events=("withdrawal.approved.node.2", "prop_trading.*")),
    Destination(name="flaky", events=("prop_trading.*", "kyc.*"), fails_one_in=7),
    Destination(name="slow", events=("kyc.*",), delay_seconds=0.2),
    Destination(name="transfers", events=("transfer.*",)),
)


@dataclass(slots=True, kw_only=True)
class Published:
    """What the publishers know: ids by when they were answered for, and what had to be sent again."""

    over_http: set[str] = field(default_factory=set)
    to_stream: dict[str, float] = field(default_factory=dict)
    sent_again: int = 0
    waited_seconds_max: float = 0.0
    """The longest that a publisher had to try until it was answered."""
    recognised: int = 0
    """Events that an answer over HTTP called duplicates: accepted before, though that answer was lost."""

    def ids(self) -> set[str]:
        """Return the ids of the events that were answered for."""
        return {*self.over_http, *self.to_stream}

    def count(self) -> int:
        """Return how many events were answered for."""
        return len(self.over_http) + len(self.to_stream)


def event(number: int, run: str) -> dict[str, Any]:
    """Return the event of a number: six types in turn; the three withdrawals of a turn are of one request."""
    turn, place = divmod(number, len(TYPES))
    return {
        "id": f"{run}-{number:06d}",
        "type": TYPES[place],
        "subject": f"{run}-request-{turn}",
        "data": {"number": number, "amount": "1250.50", "note": "x" * 300},
    }


def owed(destination: Destination, accepted: Iterable[dict[str, Any]]) -> tuple[set[str], dict[str, set[str]]]:
    """Return the ids that a destination must get; with ``first``, the ids of which it must get one, by request."""
    wanted = [item for item in accepted if destination.selects(item["type"])]
    if destination.trigger == "every":
        return {item["id"] for item in wanted}, {}
    by_subject: dict[str, set[str]] = {}
    for item in wanted:
        by_subject.setdefault(item["subject"], set()).add(item["id"])
    return set(), by_subject


class Load:
    """Registers the destinations and publishes ``total`` events of a run, each until it was answered for."""

    def __init__(
        self,
        stack: StackProcess,
        receiver: ReceiverProcess,
        *,
        total: int,
        run: str,
        events_per_second: int = EVENTS_PER_SECOND,
    ) -> None:
        self.total = total
        self._events_per_second = events_per_second
        self.run = run
        self.published = Published()
        self.webhook_ids: dict[str, str] = {}
        self._stack = stack
        self._receiver = receiver
        self._info = stack.info()
        self._changed = asyncio.Event()
        self._started_at = 0.0

    async def register(self) -> None:
        """Make the webhooks and tell the receiver their secrets."""
        async with self._stack.client("webhook-dispatcher", "owner") as owner:
            for item in DESTINATIONS:
                body = {
                    "name": item.name,
                    "url": self._receiver.url(item.name),
                    "events": list(item.events),
                    "trigger": item.trigger,
                    "retry_delays_seconds": [1] * 10,
                    "max_in_flight": 50,
                }
                made = (await owner.post("/v1/webhooks", json=body)).raise_for_status().json()
                self.webhook_ids[made["id"]] = item.name
                await self._receiver.add_hook(
                    item.name, made["secret"], fails_one_in=item.fails_one_in, delay_seconds=item.delay_seconds
                )

    async def publish(self) -> None:
        """Publish everything, at a steady pace where nothing is broken."""
        self._started_at = time.monotonic()
        numbers = range(self.total)
        streamed = [number for number in numbers if number % 10 < STREAM_SHARE * 10]
        batches = _chunks([number for number in numbers if number % 10 >= STREAM_SHARE * 10], _BATCH)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publish_to_stream(streamed))
            for _ in range(_HTTP_TASKS):
                group.create_task(self._publish_over_http(batches))

    async def until_published(self, share: float) -> None:
        """Wait until this share of the events was answered for."""
        while self.published.count() < share * self.total:
            self._changed.clear()
            await self._changed.wait()

    async def publish_to_stream(self, numbers: Iterable[int]) -> None:
        """Add events to the stream, again and again until the queue has answered for them."""
        queue: Redis = Redis.from_url(self._info["queue"]["url"], socket_timeout=5)
        for chunk in _chunks(list(numbers), _PIPELINE):
            await self._pace(chunk[0])
            await self._repeat(partial(self._add, queue, chunk), len(chunk))
        await queue.aclose()

    async def _add(self, queue: Redis, numbers: Sequence[int]) -> None:
        pipe = queue.pipeline(transaction=True)
        items = [event(number, self.run) for number in numbers]
        for item in items:
            text = json.dumps({**item, "tenant_id": self._info["tenant_id"], "environment": "live"})
            pipe.xadd(self._info["queue"]["stream"], {"event": text})
        await pipe.execute()
        now = time.monotonic()
        self.published.to_stream.update({item["id"]: now for item in items})

    async def _publish_over_http(self, batches: Iterator[list[int]]) -> None:
        async with self._stack.client("webhook-dispatcher", "owner") as client:
            for numbers in batches:
                await self._pace(numbers[0])
                await self._repeat(partial(self._post, client, numbers), len(numbers))

    async def _post(self, client: httpx2.AsyncClient, numbers: Sequence[int]) -> None:
        items = [event(number, self.run) for number in numbers]
        answer = (await client.post("/v1/events", json={"events": items})).raise_for_status().json()
        self.published.recognised += answer["duplicates"]
        self.published.over_http.update(item["id"] for item in items)

    async def _repeat(self, send: Callable[[], Any], count: int) -> None:
        started_at = time.monotonic()
        while True:
            try:
                await send()
            except (httpx2.HTTPError, RedisError, OSError):
                self.published.sent_again += count
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                waited = time.monotonic() - started_at
                self.published.waited_seconds_max = max(self.published.waited_seconds_max, waited)
                self._changed.set()
                return

    async def _pace(self, number: int) -> None:
        """Wait for the moment at which an event is due: its number by the rate."""
        await asyncio.sleep(max(0.0, self._started_at + number / self._events_per_second - time.monotonic()))


def _chunks(numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    iterator = iter(numbers)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
