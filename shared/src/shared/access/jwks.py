"""The issuer's published keys as a sibling keeps them: ``GET /.well-known/jwks.json`` of credentials, and no other address.

No token can make a sibling ask more often than every ``RETRY_SECONDS``, whatever key it names.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import structlog
from joserfc.jwk import ECKey

from shared import typeids
from shared.access.jwt import KEY_ID_PREFIX, public_key
from shared.principals import AccessUnavailableError

JWKS_PATH = "/.well-known/jwks.json"
REFRESH_SECONDS = 60.0
RETRY_SECONDS = 2.0
KEYS_MAX = 16
_ANSWER_BYTES_MAX = 64 * 1024

log = structlog.get_logger()


class PublishedKeys:
    """Fetched at the first need, again when they are old, and when a key is asked for that is not among them."""

    def __init__(self, http: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._keys: dict[UUID, ECKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: UUID) -> ECKey | None:
        """Return the issuer's key with this id, None if it has none; raises AccessUnavailableError while that is not known.

        A key that is known stays in use while the issuer does not answer.
        """
        now = self._clock()
        key = self._keys.get(key_id)
        if key is not None and now - self._fetched_at < REFRESH_SECONDS:
            return key
        if self._fetching is None and now - self._tried_at >= RETRY_SECONDS:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        if self._fetched_at == float("-inf"):
            raise AccessUnavailableError
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(JWKS_PATH)
            response.raise_for_status()
            if len(response.content) > _ANSWER_BYTES_MAX:
                raise ValueError("too long")  # noqa: TRY301 - a strange answer is one more way to fail
            self._keys = _keys_of(response.json())
            self._fetched_at = self._clock()
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
            log.warning("access.jwks_not_fetched", reason=type(exc).__name__)
        finally:
            self._fetching = None


def _keys_of(answer: dict[str, Any]) -> dict[UUID, ECKey]:
    return {typeids.decode(KEY_ID_PREFIX, jwk["kid"]): public_key(jwk) for jwk in answer["keys"][:KEYS_MAX]}
