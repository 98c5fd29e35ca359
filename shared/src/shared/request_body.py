"""Reading a request's body with a limit, and its JSON strictly. Used by every service's routes.

``StrictRoute`` is the route class of all routers: FastAPI then parses bodies with ``strict_json`` and stops reading at the limit.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from shared import strict_json
from shared.problems import PayloadTooLarge, Problem, UnsupportedMediaType, ValidationFailed

BODY_BYTES_MAX = 1024 * 1024


class ProblemRaisedWhileReadingError(HTTPException):
    """Carries a Problem through FastAPI's body parsing, which lets HTTPException alone pass unchanged."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


def body_bytes_at_most(request: Request, *, bytes_max: int) -> int:
    """Return how many bytes the body can have: what it declares, else ``bytes_max``."""
    declared = request.headers.get("content-length", "")
    return min(int(declared), bytes_max) if declared.isdigit() else bytes_max


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """Return the whole body; raises PayloadTooLarge as soon as the limit is passed, without reading on."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise PayloadTooLarge(bytes_max)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body uncompressed.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise PayloadTooLarge(bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(data: bytes) -> Any:
    """Parse a body strictly; raises ValidationFailed that points at the fault."""
    try:
        return strict_json.loads(data)
    except strict_json.MalformedJsonError as exc:
        raise ValidationFailed(errors=[{"pointer": exc.pointer, "detail": exc.detail}]) from exc


class StrictRequest(Request):
    """A request whose ``body()`` is limited and whose ``json()`` is strict."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                self._body = await read_body(self, bytes_max=BODY_BYTES_MAX)
            except Problem as problem:
                raise ProblemRaisedWhileReadingError(problem) from problem
        return self._body

    async def json(self) -> Any:
        data = await self.body()
        try:
            parse_json(data)
        except Problem as problem:
            raise ProblemRaisedWhileReadingError(problem) from problem
        # Pydantic wants plain numbers; the strict parser's exact fractions are for the intake of events.
        return json.loads(data)


class StrictRoute(APIRoute):
    """APIRoute over StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly
