"""The credential that a request carries, and the body signature of those who call the older way."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

from shared.crm_signatures import is_signed
from shared.principals import Principal
from shared.problems import MultipleCredentials, Unauthorized
from shared.request_body import read_body

_CREDENTIAL_CHARS_MAX = 4096
_HEADERS = ("authorization", "x-api-key", "key")
LEGACY_BODY_BYTES_MAX = 16 * 1024 * 1024
"""The largest body of any route: each still enforces its own limit."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential as it was sent. ``is_legacy``: in the header ``key``, and then a body must be signed."""

    text: str
    is_legacy: bool = False


def presented_credential(request: Request) -> Presented | None:
    """Return the one credential of a request, None without a usable one; raises MultipleCredentials."""
    headers = request.headers
    sent = [name for name in _HEADERS if name in headers]
    if len(sent) > 1:
        raise MultipleCredentials
    if not sent:
        return None
    text = headers[sent[0]]
    if sent[0] == "authorization":
        scheme, text = get_authorization_scheme_param(text)
        if scheme.lower() != "bearer":
            return None
    return Presented(text, is_legacy=sent[0] == "key") if 0 < len(text) <= _CREDENTIAL_CHARS_MAX else None


def is_presented(request: Request) -> bool:
    """Tell whether a request carries anything at all as a credential, usable or not."""
    return any(name in request.headers for name in _HEADERS)


async def check_legacy(request: Request, presented: Presented, principal: Principal) -> None:
    """Raise Unauthorized unless the tenant takes calls the older way and a body, if there is one, is signed.

    The answer is the uniform one, whichever it was. Raises PayloadTooLarge or UnsupportedMediaType for the body.
    """
    if not principal.legacy_signatures:
        raise Unauthorized(was_presented=True)
    if not hasattr(request, "_body"):
        # Kept where the request itself keeps it: the route reads it again from there, with its own limit. Read as a plain
        # request, since a StrictRequest asks who calls again after a long upload, which is what we are about.
        plain = Request(request.scope, request.receive)
        request._body = await read_body(plain, bytes_max=LEGACY_BODY_BYTES_MAX)
    body = request._body
    if body and not is_signed(body, signature=request.headers.get("signature", ""), key=presented.text):
        raise Unauthorized(was_presented=True)
