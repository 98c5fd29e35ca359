"""One attempt: render, sign, send, and say what happened. Knows nothing of the database."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import orjson

from shared.egress import EgressClient, EgressClosed, EgressError, EgressResponse, SentUnknown
from webhook_dispatcher.deliveries.retry_policy import Answered, NoAnswer, Outcome, OwnFault
from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.deliveries.wire_formats import RenderedEvent, render, sign
from webhook_dispatcher.webhooks.custom_headers import comparable, without_ours

RESPONSE_BYTES_MAX = 16 * 1024
_HEADER_VALUE_CHARS_MAX = 1024
MASK = "••••"
TEST_HEADER = ("webhook-test", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An attempt as it went, ready to be recorded. Headers are JSON arrays of [name, value] pairs."""

    outcome: Outcome
    error_code: str | None
    started_at: datetime
    duration_ms: float
    request_headers: str
    request_body: bytes | None = None
    """What was sent where that is not the event's own payload."""
    response_status: int | None = None
    response_headers: str | None = None
    response_body: bytes | None = None
    response_truncated: bool = False


class Sender(Protocol):
    """Makes one attempt. Never raises for what a destination does."""

    async def send(self, target: Target, event: RenderedEvent, *, test: bool) -> Sent:
        """Send once, within the target's time limit."""
        ...


class HttpSender:
    """The Sender over guarded HTTP."""

    def __init__(self, egress: EgressClient) -> None:
        self._egress = egress

    async def send(self, target: Target, event: RenderedEvent, *, test: bool) -> Sent:
        """Send once, within the target's time limit."""
        started_at = datetime.now(UTC)
        started = time.perf_counter()
        body = render(target.wire_format, event=event, webhook_name=target.name)
        ours = sign(target.signing, event_id=event.id, timestamp=int(started_at.timestamp()), body=body)
        if test:
            ours.append(TEST_HEADER)
        custom: dict[str, str] = {}
        if target.headers:
            custom = without_ours(target.headers, target.signing.own_headers | {comparable(name) for name, _ in ours})
        headers = {**custom, **dict(ours)}
        shown = [*((name, MASK) for name in custom), *ours]
        request_headers = orjson.dumps(shown).decode()
        request_body = None if body is event.payload else body
        try:
            response = await self._egress.request(
                "POST",
                target.url,
                headers=headers,
                body=body,
                deadline_seconds=target.timeout_seconds,
                response_bytes_max=RESPONSE_BYTES_MAX,
            )
        except EgressError as error:
            return Sent(
                outcome=OwnFault(code=error.code) if isinstance(error, EgressClosed) else NoAnswer(code=error.code),
                error_code=error.code,
                started_at=started_at,
                duration_ms=(time.perf_counter() - started) * 1000,
                request_headers=request_headers,
                request_body=request_body,
                response_status=error.status if isinstance(error, SentUnknown) else None,
            )
        return Sent(
            outcome=Answered(status=response.status, retry_after=response.header("retry-after")),
            error_code=None if 200 <= response.status < 300 else f"http_{response.status}",  # noqa: PLR2004 - the class of success
            started_at=started_at,
            duration_ms=response.duration_ms,
            request_headers=request_headers,
            request_body=request_body,
            response_status=response.status,
            response_headers=_headers_json(response),
            response_body=response.body,
            response_truncated=response.truncated,
        )


def _headers_json(response: EgressResponse) -> str:
    """Return the answer's headers as JSON; control characters, which Postgres' json refuses as NUL, become escapes."""
    pairs = [(name, value[:_HEADER_VALUE_CHARS_MAX]) for name, value in response.headers]
    return orjson.dumps(pairs).decode().replace("\\u0000", "\\ufffd")
