"""Hints that a webhook has work: an event in this process, a Valkey message between processes.

A hint is never needed for correctness: each owner looks at its lanes once a second anyway. So a lost message, or Valkey
away, costs at most that second, and nothing here ever makes anybody wait.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNEL = "causeway:dispatcher:wake"
_WEBHOOKS_MAX = 500
_ID_BYTES = 16
_PUBLISH_TIMEOUT_SECONDS = 0.5
_RECONNECT_SECONDS = 1.0
_LISTEN_SECONDS = 5.0
EVERYBODY_LOOKS = b"*"


class WakeUps:
    """Sends hints to all workers."""

    def __init__(self, queue: Redis) -> None:
        self._queue = queue
        self._sending: set[asyncio.Task[None]] = set()

    def publish_soon(self, webhooks: Sequence[UUID]) -> None:
        """Send a hint without waiting for it."""
        if webhooks:
            task = asyncio.create_task(self.publish(webhooks))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def publish(self, webhooks: Sequence[UUID]) -> None:
        """Send a hint; failing to is no error."""
        message = b"".join(item.bytes for item in webhooks) if len(webhooks) <= _WEBHOOKS_MAX else EVERYBODY_LOOKS
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_SECONDS):
                await self._queue.publish(CHANNEL, message)
        except (RedisError, OSError, TimeoutError) as exc:
            log.debug("wake_up.lost", reason=type(exc).__name__)


async def listen(queue: Redis, *, wake: Callable[[Iterable[UUID]], None], look: Callable[[], None]) -> None:
    """Pass hints on until cancelled; connects again for ever. ``look`` is called where the message names no webhook."""
    while True:
        try:
            async with queue.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CHANNEL)
                look()
                while True:
                    message = await subscription.get_message(timeout=_LISTEN_SECONDS)
                    if message is not None and message["type"] == "message":
                        _pass_on(message["data"], wake=wake, look=look)
        except (RedisError, OSError, TimeoutError) as exc:
            log.info("wake_up.listening_again", reason=type(exc).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)


def _pass_on(data: bytes, *, wake: Callable[[Iterable[UUID]], None], look: Callable[[], None]) -> None:
    if data == EVERYBODY_LOOKS or len(data) % _ID_BYTES:
        look()
    else:
        wake(UUID(bytes=data[start : start + _ID_BYTES]) for start in range(0, len(data), _ID_BYTES))
