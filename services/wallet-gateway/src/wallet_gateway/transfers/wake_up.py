"""Hints between processes over Valkey: a transfer has begun, a transfer has ended.

A hint is never needed: workers look for due transfers once a second anyway, and whoever waits for an end looks as well. So a lost
message, or Valkey away, costs at most that second, and nothing here ever makes anybody wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

Channel = Literal["causeway:gateway:transfer-begun", "causeway:gateway:transfer-ended"]
BEGUN: Final[Channel] = "causeway:gateway:transfer-begun"
ENDED: Final[Channel] = "causeway:gateway:transfer-ended"
_IDS_MAX: Final = 500
_ID_BYTES: Final = 16
_PUBLISH_TIMEOUT_SECONDS: Final = 0.5
_RECONNECT_SECONDS: Final = 1.0
_LISTEN_SECONDS: Final = 2.0


class Hints:
    """Sends hints on one channel; those of the same moment go in one message."""

    def __init__(self, queue: Redis, channel: Channel) -> None:
        self._queue = queue
        self._channel = channel
        self._waiting: list[UUID] = []
        self._sending: asyncio.Task[None] | None = None

    def send_soon(self, transfer_id: UUID) -> None:
        """Send a hint without waiting for it."""
        if len(self._waiting) < _IDS_MAX:
            self._waiting.append(transfer_id)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="transfer hints")

    async def settle(self) -> None:
        """Wait until what was to be sent is sent, or lost."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._waiting:
            ids, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(_PUBLISH_TIMEOUT_SECONDS):
                    await self._queue.publish(self._channel, b"".join(item.bytes for item in ids))
            except (RedisError, OSError, TimeoutError) as exc:
                log.debug("transfers.hint_lost", reason=type(exc).__name__)


async def listen(queue: Redis, channel: Channel, *, tell: Callable[[Sequence[UUID]], None]) -> None:
    """Pass hints on until cancelled; connects again for ever."""
    while True:
        try:
            async with queue.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=_LISTEN_SECONDS)
                    if message is not None and message["type"] == "message" and len(message["data"]) % _ID_BYTES == 0:
                        data = message["data"]
                        tell([UUID(bytes=data[at : at + _ID_BYTES]) for at in range(0, len(data), _ID_BYTES)])
        except (RedisError, OSError, TimeoutError) as exc:
            log.info("transfers.listening_again", reason=type(exc).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)
