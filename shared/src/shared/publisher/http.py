"""Publishing over HTTP: ``POST /v1/events`` of the dispatcher, answered after its commit."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson
from pydantic import SecretStr

from shared import typeids
from shared.principals import Realm
from shared.publisher.errors import EventRefusedError, PublisherUnavailableError
from shared.publisher.event import PublishedEvent

DEADLINE_SECONDS = 30.0
BATCH_EVENTS_MAX = 1000
BATCH_BYTES_MAX = 8 * 1024 * 1024
_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAX = 2.0
_ACCEPTED = 202
_ABOUT_THE_EVENT = frozenset({400, 413, 422})
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed soon. Others, as 401, say that somebody has to mend the configuration."""


class HttpPublisher:
    """Publishes with a key that has ``events:publish``. Usable by many tasks at once; a context manager that closes itself."""

    def __init__(self, http: httpx2.AsyncClient, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._http = http
        self._deadline_seconds = deadline_seconds

    @classmethod
    def open(cls, dispatcher_url: str, key: SecretStr, *, deadline_seconds: float = DEADLINE_SECONDS) -> Self:
        """Make a publisher; it connects at the first event. ``deadline_seconds`` bounds each call, tries again included."""
        http = httpx2.AsyncClient(
            base_url=dispatcher_url,
            headers={"authorization": f"Bearer {key.get_secret_value()}", "content-type": "application/json"},
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )
        return cls(http, deadline_seconds=deadline_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def publish(self, event: PublishedEvent) -> str:
        """Publish one event and return its id: when this returns it is durable, with every delivery it owes.

        Raises EventRefusedError or PublisherUnavailableError.
        """
        await self._post(event.realm, event.body())
        return event.id

    async def publish_many(self, events: Sequence[PublishedEvent]) -> None:
        """Publish events, in their order within each realm, in as few requests as their limits allow.

        Raises EventRefusedError, with pointers into the request's body, or PublisherUnavailableError. Those of earlier requests
        were accepted then; all may be sent again.
        """
        by_realm: dict[Realm, list[PublishedEvent]] = {}
        for event in events:
            by_realm.setdefault(event.realm, []).append(event)
        for realm, own in by_realm.items():
            for body in _bodies(own):
                await self._post(realm, body)

    async def publish_bodies(self, realm: Realm, bodies: Sequence[bytes]) -> None:
        """Publish events that are kept as JSON, of one realm, in one request and without trying again.

        For whoever keeps events himself and tries again later. Raises EventRefusedError or PublisherUnavailableError.
        """
        await self._try(realm, b'{"events":[' + b",".join(bodies) + b"]}")

    async def _post(self, realm: Realm, body: bytes) -> None:
        until = time.monotonic() + self._deadline_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await self._try(realm, body)
                    return
            except TimeoutError:
                failed = PublisherUnavailableError("timeout")
            except PublisherUnavailableError as exc:
                if not exc.may_pass:
                    raise
                failed = exc
            spread = pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret
            pause = max(failed.retry_after_seconds, spread)
            if time.monotonic() + pause >= until:
                raise failed
            await asyncio.sleep(pause)
            pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)

    async def _try(self, realm: Realm, body: bytes) -> None:
        headers = {"x-tenant-id": typeids.encode("ten", realm.tenant_id), "x-environment": realm.environment}
        try:
            answer = await self._http.post("/v1/events", content=body, headers=headers)
        except httpx2.HTTPError as exc:
            raise PublisherUnavailableError(type(exc).__name__) from exc
        if answer.status_code == _ACCEPTED:
            return
        if answer.status_code in _ABOUT_THE_EVENT:
            raise _refusal(answer)
        raise PublisherUnavailableError(
            f"http_{answer.status_code}",
            may_pass=answer.status_code in _AGAIN,
            retry_after_seconds=_retry_after_seconds(answer),
        )


def _bodies(events: Sequence[PublishedEvent]) -> Iterator[bytes]:
    part: list[bytes] = []
    size = 0
    for event in events:
        body = event.body()
        if part and (len(part) == BATCH_EVENTS_MAX or size + len(body) > BATCH_BYTES_MAX):
            yield b'{"events":[' + b",".join(part) + b"]}"
            part, size = [], 0
        part.append(body)
        size += len(body) + 1
    if part:
        yield b'{"events":[' + b",".join(part) + b"]}"


def _refusal(answer: httpx2.Response) -> EventRefusedError:
    try:
        problem: Any = orjson.loads(answer.content)
        errors = [
            {"pointer": str(error["pointer"]), "detail": str(error["detail"])} for error in problem.get("errors", ())
        ]
        return EventRefusedError(str(problem["code"]), str(problem.get("detail") or problem.get("title", "")), errors)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return EventRefusedError(f"http_{answer.status_code}", "an answer that is no problem document")


def _retry_after_seconds(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
