"""Hints between API processes over Valkey: there is a new revocation, look now.

A hint is never needed: each process looks at the table ten times a second anyway. So a lost one, or Valkey away, costs a tenth
of a second, and nothing here makes anybody wait.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNEL = "causeway:credentials:revocations"
_PUBLISH_TIMEOUT_SECONDS = 0.5
_RECONNECT_SECONDS = 1.0
_LISTEN_SECONDS = 2.0
_SENDING_MAX = 100


class RevocationHints:
    """Sends and receives hints; ``queue`` sends, ``listen_queue`` is held by the subscription."""

    def __init__(self, *, queue: Redis, listen_queue: Redis) -> None:
        self._queue = queue
        self._listen_queue = listen_queue
        self._sending: set[asyncio.Task[None]] = set()

    def publish_soon(self, sequence: int) -> None:
        """Send a hint without waiting for it; while many are under way, one more would tell nothing new."""
        if len(self._sending) < _SENDING_MAX:
            task = asyncio.create_task(self._publish(sequence))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _publish(self, sequence: int) -> None:
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_SECONDS):
                await self._queue.publish(CHANNEL, str(sequence))
        except (RedisError, OSError, TimeoutError) as exc:
            log.debug("revocations.hint_lost", reason=type(exc).__name__)

    async def listen(self, look_soon: Callable[[], None]) -> None:
        """Call ``look_soon`` for each hint until cancelled; connects again for ever."""
        away = False
        while True:
            try:
                async with self._listen_queue.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    away = False
                    while True:
                        if await subscription.get_message(timeout=_LISTEN_SECONDS) is not None:
                            look_soon()
            except (RedisError, OSError, TimeoutError) as exc:
                if not away:
                    log.info("revocations.no_hints", reason=type(exc).__name__)
                away = True
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def aclose(self) -> None:
        """Wait for the hints under way, and close the connections."""
        if self._sending:
            await asyncio.wait(self._sending)
        await self._queue.aclose()
        await self._listen_queue.aclose()
