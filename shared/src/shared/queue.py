"""The connection to Valkey (any server of the Redis protocol). Used by every service.

Valkey carries hints and the incoming queue; nothing here may make a request wait for it, so time limits are short.
"""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CONNECT_TIMEOUT_SECONDS = 1.0
_SOCKET_TIMEOUT_SECONDS = 5.0


def open_queue(url: str, *, socket_timeout_seconds: float = _SOCKET_TIMEOUT_SECONDS) -> Redis:
    """Make a client; it connects at the first command. A failing command is tried once more on a fresh connection."""
    client: Redis = Redis.from_url(
        url,
        decode_responses=False,
        socket_connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        socket_timeout=socket_timeout_seconds,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=15,
    )
    return client
