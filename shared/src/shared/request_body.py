"""Reading a request's body with limits on size and time, and its JSON strictly. Used by every service's routes.

``StrictRoute`` is the route class of all routers. It authenticates before it reads anything of the body, refuses what
the route does not know, and has bodies parsed by ``strict_json``.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from shared import strict_json
from shared.problems import (
    PayloadTooLarge,
    PointedError,
    Problem,
    RequestTimeout,
    UnsupportedMediaType,
    ValidationFailed,
)

BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 30.0
"""How long a caller may take over a body, however steadily it comes."""
BODY_SECONDS_FREE = 5.0
"""How long a caller may take over its first bytes; from then on each KiB buys a second more, up to the maximum."""
_BYTES_PER_SECOND_MIN = 1024
_AUTHENTICATED_SECONDS = 0.25
_FAULTS_SHOWN_MAX = 20
_WHOLE_MAX = 2**53
"""Beyond it a float no longer says which whole number it is."""
_UNKNOWN = "Extra inputs are not permitted"


class ProblemRaisedWhileReadingError(HTTPException):
    """Carries a Problem through FastAPI's body parsing, which lets HTTPException alone pass unchanged."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


async def read_body(
    request: Request, *, bytes_max: int, before_keeping: Callable[[int], Awaitable[None]] | None = None
) -> bytes:
    """Return the whole body; raises PayloadTooLarge or RequestTimeout as soon as a limit is passed, without reading on.

    ``before_keeping`` is told the size so far each time more has come, and may wait or raise. Raises ClientDisconnect,
    Unauthorized where the credential was revoked while a StrictRoute's body came, and what ``check_when_read`` raises.
    """
    request.state.body_was_read = True
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise PayloadTooLarge(bytes_max)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body uncompressed.")
    chunks: list[bytes] = []
    size = 0
    now = asyncio.get_running_loop().time
    started_at = now()
    async with aclosing(_paced(request)) as arriving:
        async for chunk in arriving:
            size += len(chunk)
            if size > bytes_max:
                raise PayloadTooLarge(bytes_max)
            if before_keeping is not None:
                await before_keeping(size)
            chunks.append(chunk)
    if isinstance(request, StrictRequest) and now() - started_at > _AUTHENTICATED_SECONDS:
        await request.authenticate_again()
    body = b"".join(chunks)
    for check in getattr(request.state, "body_checks", ()):
        check(body)
    return body


def check_when_read(request: Request, check: Callable[[bytes], None]) -> None:
    """Have ``check`` called with the request's body before anybody gets it from ``read_body``; it may raise a Problem.

    To be asked before the body is read; raises RuntimeError afterwards, unless this was asked before.
    """
    if getattr(request.state, "body_was_read", False) and not getattr(request.state, "body_checks", ()):
        raise RuntimeError("the body was read before it could be checked")
    request.state.body_checks = (check,)


async def _paced(request: Request) -> AsyncGenerator[bytes, None]:
    """Give the body as it comes; raises RequestTimeout. Only the caller's time counts, not what we do between chunks."""
    now = asyncio.get_running_loop().time
    size, waited_seconds = 0, 0.0
    async with aclosing(request.stream()) as stream:
        while True:
            allowed_seconds = min(BODY_SECONDS_MAX, BODY_SECONDS_FREE + size / _BYTES_PER_SECOND_MIN)
            asked_at = now()
            try:
                async with asyncio.timeout(allowed_seconds - waited_seconds):
                    chunk = await anext(stream, None)
            except TimeoutError as exc:
                raise RequestTimeout from exc
            if chunk is None:
                return
            waited_seconds += now() - asked_at
            size += len(chunk)
            yield chunk


def parse_json(data: bytes) -> Any:
    """Parse a body strictly; raises ValidationFailed that points at the fault."""
    try:
        return strict_json.loads(data)
    except strict_json.MalformedJsonError as exc:
        raise ValidationFailed(errors=[{"pointer": exc.pointer, "detail": exc.detail}]) from exc


class StrictRequest(Request):
    """A request whose ``body()`` is limited and whose ``json()`` is strict."""

    authentication: "Callable[[Request], Awaitable[object]] | None" = None

    async def authenticate_again(self) -> None:
        """Forget who called, and find out anew: a revocation is in force within a second, and an upload may take longer."""
        if self.authentication is not None:
            self.state.authenticated = {}
            await self.authentication(self)

    @property
    def taken(self) -> bytes | None:
        """Return the body if it was read."""
        return getattr(self, "_body", None)

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await read_body(self, bytes_max=BODY_BYTES_MAX)
        return self._body

    async def json(self) -> Any:
        data = await self.body()
        try:
            parse_json(data)
        except Problem as problem:
            raise ProblemRaisedWhileReadingError(problem) from problem
        # Pydantic wants plain numbers; the strict parser's exact fractions are for the intake of events.
        return json.loads(data, parse_float=_plain_number)


def _plain_number(text: str) -> float:
    """Return a number; one like 30.0 is whole, as JSON Schema has it (2020-12, §6.1.1), and fields for whole numbers take it."""
    number = float(text)
    return int(number) if abs(number) <= _WHOLE_MAX and number.is_integer() else number


class StrictRoute(APIRoute):
    """APIRoute over StrictRequest: first who calls, then whether the call is known, and only then the body.

    A route that reads its body itself, by ``read_body``, documents it as ``requestBody`` in its ``openapi_extra``.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        authenticate = _authentication_of(self.dependant)
        known_query = _query_names(self.dependant)
        reads_itself = "requestBody" in (self.openapi_extra or {})
        takes_body = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            strict.authentication = authenticate
            if authenticate is not None:
                await authenticate(strict)
            if known_query is not None:
                _refuse_unknown_query(strict, known_query)
            _refuse_repeated_query(strict)
            # Read here, where a Problem or a caller that went away is what it is: FastAPI takes either for a bad body.
            if takes_body:
                await strict.body()
            elif not reads_itself and has_body(strict):
                _refuse_body(await strict.body())
            return await handle(strict)

        return handle_strictly


def has_body(request: Request) -> bool:
    """Return whether the headers announce a body (RFC 9112 §6.3)."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _authentication_of(dependant: Dependant) -> Callable[[Request], Awaitable[object]] | None:
    """Return the dependency by which a route authenticates, see ``shared.access.require``; None for a public route."""
    return next((item.call for item in dependant.dependencies if hasattr(item.call, "required_scope")), None)


def _query_names(dependant: Dependant) -> frozenset[str] | None:
    """Return the query parameters that a route knows; None where a model takes them all, and refuses others itself."""
    names: set[str] = set()
    for part in (dependant, *dependant.dependencies):
        for field in part.query_params:
            if hasattr(field.field_info.annotation, "model_fields"):
                return None
            names.add(field.alias)
    return frozenset(names)


def _refuse_unknown_query(request: Request, known: frozenset[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ValidationFailed(errors=[_unknown(f"query/{name}") for name in unknown[:_FAULTS_SHOWN_MAX]])


def _refuse_repeated_query(request: Request) -> None:
    """Refuse a parameter that was sent twice: no call takes lists there, and which one is meant nobody can tell."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        errors: list[PointedError] = [
            {"pointer": f"query/{name}", "detail": "sent more than once"} for name in repeated[:_FAULTS_SHOWN_MAX]
        ]
        raise ValidationFailed(errors=errors)


def _refuse_body(body: bytes) -> None:
    """Refuse a body where none is taken; nothing, or an object with nothing in it, is none."""
    if not body.strip():
        return
    content = parse_json(body)
    if not isinstance(content, dict):
        raise ValidationFailed(errors=[{"pointer": "", "detail": "this call takes no body"}])
    if content:
        names = list(content)[:_FAULTS_SHOWN_MAX]
        raise ValidationFailed(errors=[_unknown(strict_json.pointer_of((name,))) for name in names])


def _unknown(pointer: str) -> PointedError:
    return {"pointer": pointer, "detail": _UNKNOWN}
