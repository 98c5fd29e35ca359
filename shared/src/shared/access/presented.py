"""The credential that a request carries, and the body signature of those who call the older way."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

from shared.crm_signatures import is_signed
from shared.principals import Principal, Refusal, Verifier
from shared.problems import MultipleCredentials, Unauthorized
from shared.request_body import check_when_read

_CREDENTIAL_CHARS_MAX = 4096
_HEADERS = ("authorization", "x-api-key", "key")


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


def check_legacy(request: Request, presented: Presented, principal: Principal) -> None:
    """Raise Unauthorized unless the tenant takes calls the older way; have the body, if there is one, judged when it is read.

    Whoever reads it does so with the limits of that call, and gets Unauthorized for a body that is not signed. The answer is the
    uniform one, whichever it was; the owner is told which.
    """
    if not principal.legacy_signatures:
        note_refusal(request, presented, principal, reason="legacy_off")
        raise Unauthorized(was_presented=True)
    signature = request.headers.get("signature", "")

    def check(body: bytes) -> None:
        if body and not is_signed(body, signature=signature, key=presented.text):
            note_refusal(request, presented, principal, reason="bad_signature")
            raise Unauthorized(was_presented=True)

    check_when_read(request, check)


def note_refusal(request: Request, presented: Presented, principal: Principal, *, reason: Refusal) -> None:
    """Have the owner told why a good credential's request is refused: the caller gets an answer that says less."""
    access: Verifier = request.app.state.resources.access
    access.denied(presented.text, principal, reason=reason, ip=request.state.ip)
