"""HTTP of the security token."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from credentials.security_tokens import service
from credentials.security_tokens.schemas import (
    RefreshWanted,
    SecurityTokenRevealed,
    SecurityTokenView,
    revealed_view_of,
    view_of,
)
from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/security-token", tags=["security token"], route_class=StrictRoute)

_KEPT: dict[str, Any] = {"status": 200, "secret_fields": frozenset({"token"}), "seen_with": "security_token:read"}
"""How the answer is kept for a repeated request."""


@router.get("", summary="Show the security token's metadata", responses=problem_responses(NotFound))
async def get(caller: Annotated[Caller, require("security_token:read")], session: Transaction) -> SecurityTokenView:
    """Return what is known of the tenant's one token, without its text. It is live: a test credential finds none."""
    return view_of(await service.get(session, realm=caller.realm), now=datetime.now(UTC))


@router.post("/reveal", summary="Show the security token", responses=problem_responses(NotFound))
async def reveal(
    request: Request,
    response: Response,
    caller: Annotated[Caller, require("security_token:reveal")],
    session: Transaction,
) -> SecurityTokenRevealed:
    """Return the token with its text. The audit log says who saw it, and when."""
    token, text = await service.reveal(session, caller=caller, issuer=request.app.state.resources.token_issuer)
    response.headers["Cache-Control"] = "no-store"
    return revealed_view_of(token, text=text.get_secret_value(), now=datetime.now(UTC))


@router.post(
    "/refresh",
    response_model=SecurityTokenRevealed,
    summary="Replace the security token",
    responses=problem_responses(NotFound, IdempotencyInProgress, IdempotencyMismatch),
)
async def refresh(
    request: Request,
    caller: Annotated[Caller, require("security_token:refresh")],
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
    wanted: RefreshWanted | None = None,
) -> Response:
    """Return the new token with its text. The old one goes on for the overlap, without one it ends within a second."""
    now, resources, asked = datetime.now(UTC), request.app.state.resources, wanted or RefreshWanted()
    issuer, feed = resources.token_issuer, resources.feed

    async def make() -> SecurityTokenRevealed:
        token, text = await service.refresh(session, caller=caller, wanted=asked, issuer=issuer, feed=feed, now=now)
        return revealed_view_of(token, text=text.get_secret_value(), now=now)

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=make, **_KEPT)
