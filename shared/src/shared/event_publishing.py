"""Publishing events to the dispatcher over HTTP, for services that report what they did: a wire contract.

Used by the wallet-gateway's outbox. ``POST /v1/events`` answers after its commit, and knows an event's id again for a week: what
is not known to be accepted is published again, and counts once.
"""

from collections.abc import Sequence
from typing import Final

import httpx2
from pydantic import SecretStr

from shared import typeids
from shared.principals import Realm

BATCH_EVENTS_MAX: Final = 1000
_TIMEOUT_SECONDS: Final = 10.0
_ACCEPTED: Final = 202
_REFUSED: Final = frozenset({413, 422})


class PublishFailedError(Exception):
    """The dispatcher is not known to have the events. ``code`` is stable; ``is_refused``: it does not want them as they are."""

    def __init__(self, code: str, *, is_refused: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.is_refused = is_refused


class EventPublisher:
    """A client of the dispatcher with a service key that holds ``events:publish``."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    @classmethod
    def open(cls, dispatcher_url: str, key: SecretStr) -> "EventPublisher":
        """Make a client; it connects at the first event."""
        return cls(
            httpx2.AsyncClient(
                base_url=dispatcher_url,
                headers={"authorization": f"Bearer {key.get_secret_value()}", "content-type": "application/json"},
                timeout=_TIMEOUT_SECONDS,
                trust_env=False,
            )
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def publish(self, realm: Realm, events: Sequence[bytes]) -> None:
        """Publish events of a realm, each a JSON object of the call's form; returns once they are committed there.

        Raises PublishFailedError; some or all of them may be there nevertheless.
        """
        headers = {"x-tenant-id": typeids.encode("ten", realm.tenant_id), "x-environment": realm.environment}
        body = b'{"events":[' + b",".join(events) + b"]}"
        try:
            answer = await self._http.post("/v1/events", content=body, headers=headers)
        except httpx2.HTTPError as exc:
            raise PublishFailedError(type(exc).__name__) from exc
        if answer.status_code != _ACCEPTED:
            raise PublishFailedError(f"http_{answer.status_code}", is_refused=answer.status_code in _REFUSED)
