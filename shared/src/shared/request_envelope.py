"""What surrounds every request: id, limits on headers, refusal of credentials in URLs, one log line, metrics, last resort.

A plain ASGI middleware, since it is on every hot path. Used by the application factory.
"""

import re
import time
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import typeids
from shared.addresses import plain
from shared.database import is_unavailable
from shared.problems import (
    PROBLEM_MEDIA_TYPE,
    CredentialInUrl,
    DuplicateHeader,
    HeadersTooLarge,
    InternalError,
    MalformedHeader,
    NotFound,
    Problem,
    ServiceUnavailable,
    ValidationFailed,
)
from shared.settings import Network
from shared.telemetry import HttpMetrics

HEADER_BYTES_MAX = 32 * 1024
HEADER_COUNT_MAX = 100
#: In logs and metrics alone: the caller went away before it had sent its request, and gets no answer.
STATUS_CLIENT_GONE = 499
_ADDRESSES_MAX = 4096
"""Callers' addresses that are remembered as read: reading one takes a tenth of a small request."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_SINGLE_HEADERS = frozenset(
    {b"authorization", b"x-api-key", b"content-length", b"content-type", b"idempotency-key", b"x-tenant-id"}
    | {b"x-environment", b"x-request-id", b"host", b"key", b"signature"}
)
# A key of ours, or a JSON Web Token.
_CREDENTIAL_TEXT = re.compile(
    r"cw_(?:sk|pk|sv|st)_(?:live|test)_[0-9A-Za-z]{8}|eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8}"
)
_NEXT_CREDENTIAL = re.compile(rb",[ \t]*(?:bearer|basic)[ \t]", re.IGNORECASE)
_CREDENTIAL_PARAMETERS = frozenset(
    {"api_key", "apikey", "api-key", "x-api-key", "key", "token", "access_token", "authorization", "secret"}
    | {"client_secret", "client_assertion"}
)

# Any other word that a caller takes for a method would be a label of its own, and could be a key.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

log = structlog.get_logger()


def client_address(scope: Scope, trusted_proxies: Sequence[Network]) -> IPv4Address | IPv6Address | None:
    """Return the caller's address: the socket's, or where that is a trusted proxy, the last untrusted hop it names.

    ``X-Forwarded-For`` is read from the right: whatever stands left of the first untrusted hop was written by the caller.
    """
    address = _address(scope["client"][0]) if scope.get("client") else None
    if address is None or not _within(address, trusted_proxies):
        return address
    hops = [
        hop.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    for hop in reversed(hops):
        forwarded = _address(hop)
        if forwarded is None:
            break
        address = forwarded
        if not _within(address, trusted_proxies):
            break
    return address


class RequestEnvelope:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, trusted_proxies: Sequence[Network]) -> None:
        self._app = app
        self._metrics = metrics
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scope types pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state: dict[str, Any] = scope.setdefault("state", {})
        request_id = _request_id(scope)
        state["request_id"] = request_id
        state["ip"] = client_address(scope, self._trusted_proxies)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0
        unread = _announces_body(scope)

        async def receive_and_note() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                allowance = state.get("allowance")
                told = allowance.headers() if allowance is not None else ()
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *told]
                # Or the caller could go on sending for ever what nobody reads, on a connection that no time limit ends.
                if unread and all(name != b"connection" for name, _ in message["headers"]):
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            _check_headers(scope)
            _check_url(scope)
            await self._app(scope, receive_and_note, send_with_id)
        except Problem as problem:
            await _answer(problem, request_id, send_with_id)
        except ClientDisconnect:
            status = status or STATUS_CLIENT_GONE
        except Exception as exc:
            failure = ServiceUnavailable() if is_unavailable(exc) else InternalError()
            log.exception("http.request_failed", method=_method(scope), path=_route(scope))
            if not status:
                await _answer(failure, request_id, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = _route(scope), _method(scope)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        state = scope["state"]
        caller = state.get("caller")
        write = log.debug if state.get("is_heartbeat") else log.info
        write(
            "http.request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            ip=str(state["ip"]),
            credential_id=caller.principal.credential_id if caller else None,
        )


def _announces_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def _check_headers(scope: Scope) -> None:
    headers = scope["headers"]
    if len(headers) > HEADER_COUNT_MAX or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
        raise HeadersTooLarge(f"At most {HEADER_COUNT_MAX} headers and {HEADER_BYTES_MAX} bytes.")
    seen: set[bytes] = set()
    for name, value in headers:
        if name in _SINGLE_HEADERS:
            if name in seen:
                raise DuplicateHeader(f"The header {name.decode('latin-1')} was sent more than once.")
            seen.add(name)
        if _is_folded(name, value):
            raise DuplicateHeader(f"The header {name.decode('latin-1')} holds more than one credential.")
        if name == b"x-request-id" and not _REQUEST_ID.fullmatch(value.decode("latin-1")):
            raise MalformedHeader("X-Request-Id takes 1-128 letters, digits and . _ : -")


def _is_folded(name: bytes, value: bytes) -> bool:
    """Tell whether a header is two credentials that were joined on the way, as RFC 9110 §5.3 allows of repeated headers."""
    if name == b"authorization":
        return _NEXT_CREDENTIAL.search(value) is not None
    return name in {b"x-api-key", b"key"} and b"," in value


def _check_url(scope: Scope) -> None:
    query = scope["query_string"].decode("latin-1")
    # Postgres stores no NUL: nothing can have such a name, and nothing contains it.
    if "\0" in scope["path"]:
        raise NotFound
    if _CREDENTIAL_TEXT.search(scope["path"]) or _CREDENTIAL_TEXT.search(query):
        raise CredentialInUrl
    if query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name.lower() in _CREDENTIAL_PARAMETERS or _CREDENTIAL_TEXT.search(value):
                raise CredentialInUrl
            if "\0" in name or "\0" in value:
                pointer = "query/" + name.replace("\0", "\ufffd")
                raise ValidationFailed(errors=[{"pointer": pointer, "detail": "holds a NUL character"}])


async def _answer(problem: Problem, request_id: str, send: Send) -> None:
    body = orjson.dumps(problem.body(request_id))
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text) and not _CREDENTIAL_TEXT.search(text):
                return str(text)
    return typeids.encode("req", typeids.new_id()).removeprefix("req_")


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path_format", None) or getattr(route, "path", None) or "unmatched"


@lru_cache(maxsize=_ADDRESSES_MAX)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return plain(ip_address(text))
    except ValueError:
        return None


def _within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
