"""The application factory of all services: problems, request ids, health, metrics and a documentation page without internet.

Used by each service's ``app.py``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol

import orjson
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from shared import openapi
from shared.access.dependencies import key_limiter_of
from shared.cycle_collector import collecting_rarely
from shared.database import Database
from shared.problems import (
    PROBLEM_MEDIA_TYPE,
    MethodNotAllowed,
    NotFound,
    PointedError,
    Problem,
    UnsupportedMediaType,
    ValidationFailed,
)
from shared.request_body import ProblemRaisedWhileReadingError
from shared.request_envelope import RequestEnvelope
from shared.settings import ServiceSettings
from shared.strict_json import pointer_of
from shared.telemetry import HttpMetrics, configure_logging, new_registry
from shared.typeids import MalformedIdError

_READINESS_TIMEOUT_SECONDS = 2.0

Check = Callable[[], Awaitable[None]]


class Resources(Protocol):
    """What the factory needs of a service's ``resources.py``."""

    @property
    def database(self) -> Database:
        """Return the service's database."""
        ...

    def checks(self) -> Mapping[str, Check]:
        """Return the readiness checks by the part's name; each raises when its part does not answer."""
        ...


def create_service_app(
    *,
    title: str,
    version: str,
    description: str,
    settings: ServiceSettings,
    open_resources: Callable[[CollectorRegistry], AbstractAsyncContextManager[Resources]],
    routers: Sequence[APIRouter],
    has_process: bool = False,
) -> FastAPI:
    """Return a service's application. Does no I/O: resources are opened when the server starts it.

    ``has_process``: it is alone in its process, and may say what Python's collector of cycles does there.
    """
    configure_logging(service=title, level=settings.log_level, log_format=settings.log_format)
    registry = new_registry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(registry) as resources:
            app.state.resources = resources
            with collecting_rarely() if has_process else nullcontext():
                yield

    app: FastAPI = FastAPIOffline(
        title=f"Causeway {title}",
        version=version,
        description=description,
        lifespan=lifespan,
        redirect_slashes=False,
        # What a service tells of its calls it tells itself. FastAPI's own way looks at each call whether somebody listens, and
        # with variables in the environment it would send away what callers sent.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.key_limiter = key_limiter_of(settings)
    app.add_middleware(RequestEnvelope, metrics=HttpMetrics(registry), trusted_proxies=settings.trusted_proxies)
    _answer_problems(app, routers)
    for router in routers:
        app.include_router(router)
    _add_health(app, registry)
    app.openapi = lambda: openapi.document_of(app, routers)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _answer_problems(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    async def problem_raised(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, Problem)
        return problem_response(request, exc)

    async def malformed_id(request: Request, _exc: Exception) -> Response:
        return problem_response(request, NotFound())

    async def validation_failed(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        return problem_response(request, _validation_problem(exc))

    async def http_exception(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, StarletteHTTPException)
        if exc.status_code == MethodNotAllowed.status:
            allowed = _methods_at(request, routers)
            headers = {"Allow": ", ".join(allowed)} if allowed else exc.headers
            return problem_response(request, MethodNotAllowed(headers=headers))
        return problem_response(request, _problem_of_http_exception(exc))

    app.add_exception_handler(Problem, problem_raised)
    app.add_exception_handler(MalformedIdError, malformed_id)
    app.add_exception_handler(RequestValidationError, validation_failed)
    app.add_exception_handler(StarletteHTTPException, http_exception)


def problem_response(request: Request, problem: Problem) -> Response:
    """Return the RFC 9457 answer for a problem."""
    return Response(
        orjson.dumps(problem.body(request.state.request_id)),
        status_code=problem.status,
        headers=problem.headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def _methods_at(request: Request, routers: Sequence[APIRouter]) -> list[str]:
    """Return every method of the path: Starlette names those of the first route alone, and RFC 9110 §15.5.6 wants all.

    Where two paths fit, it is the one with fewer parameters: as in OpenAPI, what is written out goes before what is templated.
    """
    methods: dict[str, set[str]] = {}
    for route in (route for router in routers for route in router.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods.setdefault(getattr(route, "path", ""), set()).update(getattr(route, "methods", ()))
    return sorted(methods[min(methods, key=lambda path: path.count("{"))]) if methods else []


def _problem_of_http_exception(exc: StarletteHTTPException) -> Problem:
    if isinstance(exc, ProblemRaisedWhileReadingError):
        return exc.problem
    if exc.status_code == NotFound.status:
        return NotFound("There is no such path.")
    if isinstance(exc, HTTPException) and exc.status_code < ValidationFailed.status:
        return ValidationFailed("The body could not be read.")
    raise exc


def _validation_problem(exc: RequestValidationError) -> Problem:
    errors: list[PointedError] = []
    for error in exc.errors():
        if error["type"] in {"missing", "model_attributes_type", "dict_type"} and error["loc"] == ("body",):
            if isinstance(error.get("input"), bytes):
                return UnsupportedMediaType("Send the body as application/json.")
            errors.append({"pointer": "", "detail": "a JSON object is required"})
            continue
        place, *path = error["loc"] or ("body",)
        pointer = pointer_of(tuple(path)) if place == "body" else "/".join(str(part) for part in (place, *path))
        errors.append({"pointer": pointer, "detail": error["msg"].removeprefix("Value error, ")})
        if place == "path" and isinstance(error.get("ctx", {}).get("error"), MalformedIdError):
            return NotFound()
    return ValidationFailed(errors=errors)


def _add_health(app: FastAPI, registry: CollectorRegistry) -> None:
    router = APIRouter(tags=["health"])

    schema = {"type": "object", "required": ["status", "failing"]}
    ready = {"application/json": {"schema": schema, "example": {"status": "ok", "failing": {}}}}
    failing = {"status": "failing", "failing": {"database": "TimeoutError"}}
    not_ready = {"application/json": {"schema": schema, "example": failing}}
    alive = {"application/json": {"example": {"status": "ok"}}}
    counted = {"text/plain": {"example": "# TYPE causeway_http_requests_total counter\n"}}

    @router.get("/livez", summary="The process runs", responses={200: {"content": alive}})
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Every part it needs answers",
        responses={200: {"content": ready}, 503: {"description": "A part does not", "content": not_ready}},
    )
    async def readyz(request: Request) -> Response:
        failing = await failing_parts(request.app.state.resources.checks())
        body = {"status": "failing" if failing else "ok", "failing": failing}
        return Response(orjson.dumps(body), status_code=503 if failing else 200, media_type="application/json")

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        responses={200: {"content": counted}},
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.include_router(router)


async def failing_parts(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks side by side under one time limit; return the failing parts with the kind of failure."""

    async def run(check: Check) -> str | None:
        try:
            async with asyncio.timeout(_READINESS_TIMEOUT_SECONDS):
                await check()
        except Exception as exc:  # noqa: BLE001 - whatever stops a part from answering is what readiness reports
            return type(exc).__name__
        return None

    results = await asyncio.gather(*(run(check) for check in checks.values()))
    return {name: failure for name, failure in zip(checks, results, strict=True) if failure}
