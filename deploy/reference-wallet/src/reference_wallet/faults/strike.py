"""What a fault makes of a call: the answer instead of the true one, or the true one spoilt."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from fastapi import Response

from reference_wallet.faults.content import CONTENT_FAULTS, altered
from reference_wallet.faults.rule import FaultRule, Operation
from reference_wallet.faults.sending import SENDING_FAULTS, Cut, Mishandled

_HTML = b"<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_PROBLEM = b'{"type":"/problems/internal_error","title":"Internal error","status":500,"code":"internal_error"}'
_JSON = "application/json"

log = structlog.get_logger()


def answer_instead(fault: FaultRule) -> Response:
    """Return what comes in the place of an answer."""
    if fault.kind == "status":
        return Response(_PROBLEM, status_code=fault.status or 500, media_type="application/problem+json")
    if fault.kind == "html":
        return Response(_HTML, status_code=fault.status or 502, media_type="text/html")
    return Cut()


def altered_answer(fault: FaultRule, answer: Response) -> Response:
    """Return the answer with its content spoilt, still to be signed; as it was, if the fault is of another kind."""
    if fault.kind not in CONTENT_FAULTS or not answer.body:
        return answer
    body = altered(fault.kind, bytes(answer.body))
    return Response(body, status_code=answer.status_code, media_type=_JSON)


def signed_badly(fault: FaultRule, answer: Response, replayed: Response | None) -> Response:
    """Return a signed answer with its signature spoilt; ``replayed`` is the last one that was kept of this operation."""
    if fault.kind == "no_signature":
        for name in ("signature", "signature-input", "content-digest"):
            del answer.headers[name]
    elif fault.kind == "bad_signature":
        answer.headers["signature"] = "sig1=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    elif fault.kind == "old_signature":
        created = answer.headers["signature-input"]
        answer.headers["signature-input"] = created.replace("created=", "created=1", 1)
    elif fault.kind == "altered_body":
        return _with_body(answer, bytes(answer.body).replace(b'"', b' "', 1))
    elif fault.kind == "replayed_signature" and replayed is not None:
        for name in ("signature", "signature-input"):
            answer.headers[name] = replayed.headers[name]
    return answer


def sent_badly(fault: FaultRule, answer: Response) -> Response:
    """Return an answer that will be sent as no server should."""
    if fault.kind not in SENDING_FAULTS:
        return answer
    return Mishandled(answer, fault.kind, pause_seconds=fault.delay_ms / 1000)


def _with_body(answer: Response, body: bytes) -> Response:
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(body, status_code=answer.status_code, headers=headers)


@dataclass(slots=True)
class Replays:
    """The last signed answer of each operation."""

    _kept: dict[tuple[UUID, Operation], Response] = field(default_factory=dict)

    def exchange(self, key: tuple[UUID, Operation], answer: Response) -> Response | None:
        """Keep an answer, and return the one before it."""
        before = self._kept.get(key)
        self._kept[key] = Response(status_code=answer.status_code, headers=dict(answer.headers))
        return before


@dataclass(slots=True)
class Later:
    """Calls that are carried out after their connection was cut."""

    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, delay_seconds: float, carry_out: Callable[[], Coroutine[Any, Any, Response]]) -> None:
        """Carry a call out after a while."""

        async def run() -> None:
            await asyncio.sleep(delay_seconds)
            try:
                await carry_out()
            except Exception:
                log.exception("fault.late_call_failed")

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def aclose(self) -> None:
        """Drop what has not begun."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
