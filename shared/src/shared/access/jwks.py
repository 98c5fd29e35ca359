"""The issuer's published keys as a sibling keeps them: ``GET /.well-known/jwks.json`` of credentials, and no other address.

No token can make a sibling ask more often than every ``RETRY_SECONDS``, whatever key it names.

A key that may be known to somebody is dropped by the issuer and named in the revocation feed. From then on it is blocked here
for good, whoever goes on publishing it; nothing that a token says is weighed against that, since who has the key writes it all.
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
from shared.access.questions import PATIENCE_SECONDS
from shared.principals import AccessUnavailableError

JWKS_PATH = "/.well-known/jwks.json"
REFRESH_SECONDS = 60.0
RETRY_SECONDS = 2.0
_RETRY_BEHIND_SECONDS = 0.2
KEYS_MAX = 16
_ANSWER_BYTES_MAX = 64 * 1024

log = structlog.get_logger()


class PublishedKeys:
    """Fetched at the first need, again when they are old, and when a key is asked for that is not among them.

    They come with the sequence of the feed at which they were read. What is older than the feed's newest word on keys is not
    taken.
    """

    def __init__(self, http: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._keys: dict[UUID, ECKey] = {}
        self._blocked: set[UUID] = set()
        """Never forgotten; each takes a command of an administrator's."""
        self._sequence: int | None = None
        """Where the feed stood when the keys were read; None while there are none."""
        self._needed = 0
        """Where it must have stood at least."""
        self._fetched_at = float("-inf")
        self._began_at = self._may_try_at = float("-inf")
        self._failed = False
        """Whether the newest fetch that has ended did so without keys."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: UUID) -> ECKey | None:
        """Return the issuer's key with this id, None if it has none; raises AccessUnavailableError while that is not known.

        A key that is known stays in use while the issuer does not answer.
        """
        key = self._usable(key_id)
        if key is not None:
            # The feed would have named it if it were known to somebody. So an old one serves, and is looked after beside.
            if self._clock() - self._fetched_at >= REFRESH_SECONDS:
                self._fetch_soon()
            return key
        # Twice where the first answer, asked for by somebody else, was under way when the feed brought news.
        for _ in range(2):
            fetching = None if self.is_blocked(key_id) else self._fetch_soon()
            if fetching is None:
                break
            await self._wait_for(fetching)
            if self._is_complete():
                break
        key = self._usable(key_id)
        if key is None and not self.is_blocked(key_id) and not self._is_complete():
            raise AccessUnavailableError
        return key

    async def aclose(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def is_blocked(self, key_id: UUID) -> bool:
        """Tell whether the feed has named this key: it counts for nothing, whatever was signed with it and when."""
        return key_id in self._blocked

    def block(self, key_id: UUID, *, sequence: int) -> None:
        """Drop a key for good; the keys are fetched anew, from where ``sequence`` of the feed is known."""
        self._blocked.add(key_id)
        self._keys.pop(key_id, None)
        self._need(sequence)

    def clear(self, *, sequence: int) -> None:
        """Forget every key, where what the feed said before ``sequence`` is not known; those that are blocked stay so."""
        self._keys, self._sequence = {}, None
        self._need(sequence)

    def _need(self, sequence: int) -> None:
        self._needed = sequence
        self._fetched_at = self._may_try_at = float("-inf")

    def _is_complete(self) -> bool:
        """Tell whether a key that is not among them is none of the issuer's."""
        return self._sequence is not None and self._sequence >= self._needed

    async def _wait_for(self, fetching: asyncio.Task[None]) -> None:
        """Wait; where the fetch before this one failed, only a moment. Raises AccessUnavailableError when that is over."""
        timeout = None
        if self._failed:
            timeout = max(0.0, self._began_at + PATIENCE_SECONDS - self._clock())
        done, _ = await asyncio.wait({fetching}, timeout=timeout)
        if not done:
            raise AccessUnavailableError

    def _usable(self, key_id: UUID) -> ECKey | None:
        return None if self.is_blocked(key_id) else self._keys.get(key_id)

    def _fetch_soon(self) -> asyncio.Task[None] | None:
        """Return the fetch under way, or begin one; None where it is too early for that."""
        if self._fetching is None and self._clock() >= self._may_try_at:
            self._began_at = self._clock()
            self._may_try_at = self._began_at + RETRY_SECONDS
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(JWKS_PATH)
            response.raise_for_status()
            if len(response.content) > _ANSWER_BYTES_MAX:
                raise ValueError("too long")  # noqa: TRY301 - a strange answer is one more way to fail
            self._take(response.json())
            self._failed = False
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
            self._failed = True
            log.warning("access.jwks_not_fetched", reason=type(exc).__name__)
        finally:
            self._fetching = None

    def _take(self, answer: dict[str, Any]) -> None:
        sequence, keys = int(answer["sequence"]), _keys_of(answer)
        if sequence < self._needed:
            self._may_try_at = min(self._may_try_at, self._clock() + _RETRY_BEHIND_SECONDS)
            log.info("access.jwks_behind_the_feed", sequence=sequence, needed=self._needed)
            return
        self._keys, self._sequence, self._fetched_at = keys, sequence, self._clock()


def _keys_of(answer: dict[str, Any]) -> dict[UUID, ECKey]:
    return {typeids.decode(KEY_ID_PREFIX, jwk["kid"]): public_key(jwk) for jwk in answer["keys"][:KEYS_MAX]}
