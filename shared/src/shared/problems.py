"""Problems: every error a caller can get, as named facts, and their RFC 9457 form.

Tree::

    Problem
    ├── BadRequest 400 ── CredentialInUrl, MultipleCredentials, DuplicateHeader, TenantRequired, MalformedHeader
    ├── Unauthorized 401
    ├── Forbidden 403 ─── InsufficientScope, TenantMismatch
    ├── NotFound 404 · MethodNotAllowed 405 · RequestTimeout 408
    ├── Conflict 409 ──── IdempotencyInProgress
    ├── PayloadTooLarge 413 · HeadersTooLarge 431 · UnsupportedMediaType 415
    ├── ValidationFailed 422 ── IdempotencyMismatch
    └── TooManyRequests 429 · InternalError 500 · ServiceUnavailable 503

Services derive their own facts from these in their ``errors.py``. Used by every service.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NotRequired, TypedDict

from shared.telemetry import redact

PROBLEM_MEDIA_TYPE = "application/problem+json"
_EXAMPLE_REQUEST_ID = "01j9zq3s8hf3mbq5w7t2k4v6xy"


class PointedError(TypedDict):
    """One fault of validation: a JSON pointer (RFC 6901) into the body, or ``query``/``path`` and a name."""

    pointer: str
    detail: str


class ProblemBody(TypedDict):
    """The answer's body (RFC 9457 §3.1, with ``code``, ``request_id`` and ``errors`` as extensions)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: NotRequired[Sequence[PointedError]]


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem, and its subclasses are facts, not errors of ours
    """Base of all problems. Subclasses set ``status``, ``code`` and ``title``; ``detail`` speaks of this occurrence."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    default_detail: ClassVar[str] = ""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[PointedError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.default_detail or self.title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    @classmethod
    def form(cls, *, detail: str, request_id: str) -> ProblemBody:
        """Return the RFC 9457 object without what only an occurrence has."""
        return {
            "type": f"/problems/{cls.code}",
            "title": cls.title,
            "status": cls.status,
            "detail": detail,
            "code": cls.code,
            "request_id": request_id,
        }

    def body(self, request_id: str) -> ProblemBody:
        """Return the RFC 9457 object for this occurrence. What it quotes of the request comes without secrets."""
        body = self.form(detail=redact(self.detail), request_id=request_id)
        if self.errors:
            # A pointer names a field as the caller did, who may have put a key in its place.
            body["errors"] = [
                {"pointer": redact(error["pointer"]), "detail": redact(error["detail"])} for error in self.errors
            ]
        return body


class BadRequest(Problem):
    """The request contradicts itself or the protocol."""

    status, code, title = 400, "bad_request", "Bad request"


class CredentialInUrl(BadRequest):
    """A credential stands in the query string, where proxies and histories keep it."""

    code, title = "credential_in_url", "Credential in the URL"
    default_detail = "Send the credential in the Authorization or X-API-Key header; treat this one as leaked."


class MultipleCredentials(BadRequest):
    """More than one credential in one request."""

    code, title = "multiple_credentials", "Multiple credentials"
    default_detail = "Send exactly one credential: Authorization or X-API-Key (or, the older way, key), once."


class DuplicateHeader(BadRequest):
    """A header that must be single was sent more than once."""

    code, title = "duplicate_header", "Duplicate header"


class MalformedHeader(BadRequest):
    """A header's value is not what its definition allows."""

    code, title = "malformed_header", "Malformed header"


class TenantRequired(BadRequest):
    """A credential that may act for any tenant did not say for which one."""

    code, title = "tenant_required", "Tenant required"
    default_detail = "This credential belongs to no tenant: name one with X-Tenant-Id."


class Unauthorized(Problem):
    """No valid credential. One uniform answer, so that it says nothing about why.

    As RFC 6750 §3.1 wants it, the challenge names ``invalid_token`` where something was presented, whatever it was.
    """

    status, code, title = 401, "unauthorized", "Unauthorized"
    default_detail = "A valid credential is required."

    def __init__(self, detail: str | None = None, *, was_presented: bool = False) -> None:
        error = ', error="invalid_token"' if was_presented else ""
        super().__init__(detail, headers={"WWW-Authenticate": f'Bearer realm="causeway"{error}'})


class Forbidden(Problem):
    """The credential is valid and may not do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class InsufficientScope(Forbidden):
    """The credential lacks a scope (RFC 6750 §3.1); the answer names it."""

    code, title = "insufficient_scope", "Insufficient scope"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This needs the scope {scope}.",
            headers={"WWW-Authenticate": f'Bearer realm="causeway", error="insufficient_scope", scope="{scope}"'},
        )
        self.scope = scope


class TenantMismatch(Forbidden):
    """The named tenant or environment is not the credential's own."""

    code, title = "tenant_mismatch", "Tenant mismatch"
    default_detail = "X-Tenant-Id or X-Environment names another realm than the credential's."


class NotFound(Problem):
    """No such object in the caller's realm; the same answer for one that belongs to somebody else."""

    status, code, title = 404, "not_found", "Not found"
    default_detail = "There is no such object."


class MethodNotAllowed(Problem):
    """The path exists and this method does not."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class Conflict(Problem):
    """The object's present state does not allow this."""

    status, code, title = 409, "conflict", "Conflict"


class IdempotencyInProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""

    code, title = "idempotency_in_progress", "Request in progress"
    default_detail = "The first request with this Idempotency-Key is still running; try again."


class RequestTimeout(Problem):
    """The body did not arrive in time; the connection is closed."""

    status, code, title = 408, "request_timeout", "Request timeout"
    default_detail = "The body arrived too slowly, and nothing was done. Send it at once."


class PayloadTooLarge(Problem):
    """The body is over the limit; reading stopped there."""

    status, code, title = 413, "payload_too_large", "Payload too large"

    def __init__(self, limit_bytes: int, *, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(f"The body may have at most {limit_bytes} bytes.", errors=errors)


class UnsupportedMediaType(Problem):
    """The body is not JSON by its Content-Type, or is compressed."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class ValidationFailed(Problem):
    """Body, query or path do not have the documented form; ``errors`` points at each fault."""

    status, code, title = 422, "validation_failed", "Validation failed"
    default_detail = "The request does not have the documented form."


class IdempotencyMismatch(ValidationFailed):
    """The Idempotency-Key was used before with another body."""

    code, title = "idempotency_mismatch", "Idempotency mismatch"
    default_detail = "This Idempotency-Key was used before for a request with another body or path."


class TooManyRequests(Problem):
    """A rate limit was reached."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, *, retry_after_seconds: float) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__(f"Try again in {seconds} s.", headers={"Retry-After": str(seconds)})


class HeadersTooLarge(Problem):
    """The request's headers are over the limit."""

    status, code, title = 431, "headers_too_large", "Headers too large"


class InternalError(Problem):
    """A fault of ours; the request id finds it in the log."""

    default_detail = "The fault is ours and was logged under this request id."


class ServiceUnavailable(Problem):
    """A part we depend on does not answer; nothing was done."""

    status, code, title = 503, "service_unavailable", "Service unavailable"
    default_detail = "A part this depends on does not answer just now; nothing was done. Try again."

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


#: What any authenticated call can answer.
COMMON_PROBLEMS: tuple[type[Problem], ...] = (
    CredentialInUrl,
    MultipleCredentials,
    DuplicateHeader,
    MalformedHeader,
    TenantRequired,
    Unauthorized,
    InsufficientScope,
    TenantMismatch,
    ValidationFailed,
    RequestTimeout,
    PayloadTooLarge,
    TooManyRequests,
    HeadersTooLarge,
    InternalError,
    ServiceUnavailable,
)

#: What any request can answer, also one that no documented call is for.
FRAME_PROBLEMS: tuple[type[Problem], ...] = (
    *(CredentialInUrl, DuplicateHeader, MalformedHeader, NotFound, MethodNotAllowed, ValidationFailed),
    *(UnsupportedMediaType, HeadersTooLarge, InternalError, ServiceUnavailable),
)


def problem_responses(*problems: type[Problem], common: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for a route: one entry per status, one example per code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in dict.fromkeys((*problems, *(COMMON_PROBLEMS if common else ()))):
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        described = {"description": problem.title, "content": {PROBLEM_MEDIA_TYPE: content}}
        entry = responses.setdefault(problem.status, described)
        entry["content"][PROBLEM_MEDIA_TYPE]["examples"][problem.code] = {
            "summary": (problem.__doc__ or problem.title).split("\n", maxsplit=1)[0],
            "value": problem.form(detail=problem.default_detail or problem.title, request_id=_EXAMPLE_REQUEST_ID),
        }
    return responses
