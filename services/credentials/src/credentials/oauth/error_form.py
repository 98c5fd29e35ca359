"""The form of errors under ``/oauth2/``: RFC 6749 §5.2 instead of RFC 9457, wherever in the application they arise.

A plain ASGI middleware around everything else, so that refusals from before any route (a duplicate header, a credential in the
URL) have the form too.
"""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credentials.oauth import errors
from shared.problems import PROBLEM_MEDIA_TYPE, InsufficientScope, Problem

PATH = "/oauth2/"
_OWN = (
    *(errors.InvalidRequest, errors.UnsupportedGrantType, errors.InvalidScope, errors.InvalidGrant),
    *(
        errors.UnauthorizedClient,
        errors.UnsupportedTokenType,
        errors.InvalidClient,
        errors.InvalidToken,
        InsufficientScope,
    ),
)
_NAMES = frozenset(problem.code for problem in _OWN)
_HEADERS_KEPT = frozenset(
    {b"www-authenticate", b"retry-after", b"x-request-id", b"allow", b"ratelimit", b"ratelimit-policy"}
)


class OAuthErrorForm:
    """See the module."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other paths pass through."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_in_form(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                await _send_error(start, orjson.loads(body), send)

        await self._app(scope, receive, send_in_form)


def error_of(problem: dict[str, Any]) -> dict[str, str]:
    """Return the RFC 6749 form of an RFC 9457 body."""
    detail = "".join(char for char in problem["detail"] if " " <= char <= "~" and char not in '"\\')
    return {"error": _name_of(problem["code"], problem["status"]), "error_description": detail}


def documented(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for a route under ``PATH``: one entry per status, one example per error."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        entry = responses.setdefault(
            problem.status,
            {
                "description": problem.title,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}, "examples": {}}
                },
            },
        )
        told = {"code": problem.code, "status": problem.status, "detail": problem.default_detail or problem.title}
        entry["content"]["application/json"]["examples"][problem.code] = {
            "summary": (problem.__doc__ or problem.title).split("\n", maxsplit=1)[0],
            "value": error_of(told),
        }
    return responses


def _name_of(code: str, status: int) -> str:
    if code in _NAMES:
        return code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return "server_error" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "temporarily_unavailable"
    return "invalid_token" if status == HTTPStatus.UNAUTHORIZED else "invalid_request"


def _is_problem(message: Message) -> bool:
    return (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in [
        (name.lower(), value) for name, value in message["headers"]
    ]


async def _send_error(start: Message, problem: dict[str, Any], send: Send) -> None:
    body = orjson.dumps(error_of(problem))
    headers = [(name, value) for name, value in start["headers"] if name.lower() in _HEADERS_KEPT]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})
