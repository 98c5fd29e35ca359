"""HTTP of leaked keys: open to anybody who found one."""

from fastapi import APIRouter, Depends, Request

from credentials.leaked_keys.schemas import LeakedKey, Reported
from shared.database import Transaction
from shared.problems import (
    CredentialInUrl,
    DuplicateHeader,
    HeadersTooLarge,
    InternalError,
    MalformedHeader,
    PayloadTooLarge,
    RequestTimeout,
    ServiceUnavailable,
    TooManyRequests,
    UnsupportedMediaType,
    ValidationFailed,
    problem_responses,
)
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1", tags=["leaked keys"], route_class=StrictRoute)


async def _within_limit(request: Request) -> None:
    allowance = request.app.state.resources.leaked_keys.count_report(request.state.ip)
    request.state.allowance = allowance  # the envelope tells it in the standard headers
    if allowance.retry_after_seconds is not None:
        raise TooManyRequests(retry_after_seconds=allowance.retry_after_seconds)


@router.post(
    "/leaked-keys",
    status_code=202,
    dependencies=[Depends(_within_limit)],
    summary="Report a leaked key",
    responses=problem_responses(
        *(TooManyRequests, CredentialInUrl, DuplicateHeader, MalformedHeader, ValidationFailed, PayloadTooLarge),
        *(RequestTimeout, UnsupportedMediaType, HeadersTooLarge, InternalError, ServiceUnavailable),
        common=False,
    ),
)
async def report(request: Request, found: LeakedKey, session: Transaction) -> Reported:
    """Revoke the key if there is such a one, within a second; its owner sees it in the audit log. The answer is always this one.

    Needs no credential: whoever holds a key may end it. Limited for each address.
    """
    leaked_keys = request.app.state.resources.leaked_keys
    await leaked_keys.take_in(session, found.key, ip=request.state.ip, request_id=request.state.request_id)
    return Reported()
