"""HTTP of rotating a key."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from credentials.api_keys.callers import require_owner
from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from credentials.api_keys.owner import KeyCaller
from credentials.api_keys.schemas import ApiKeyCreated, ApiKeyIdInPath, ApiKeyView, created_view_of, view_of
from credentials.key_rotation import service
from credentials.key_rotation.errors import ApiKeyNotActive, NothingToUndo, TooManyVersions
from credentials.key_rotation.schemas import Rotate
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/api-keys/{key_id}/rotate", tags=["api keys"], route_class=StrictRoute)

_KEPT: dict[str, Any] = {"status": 200, "secret_fields": frozenset({"key"}), "seen_with": "api_keys:read"}
"""How the answer is kept for a repeated request."""
Writer = Annotated[KeyCaller, require_owner("api_keys:write")]


@router.post(
    "",
    response_model=ApiKeyCreated,
    summary="Replace a key's text",
    responses=problem_responses(
        *(NotFound, ScopeEscalation, EnvironmentMismatch, ApiKeyNotActive, TooManyVersions),
        *(IdempotencyInProgress, IdempotencyMismatch),
    ),
)
async def rotate(
    request: Request,
    key_id: ApiKeyIdInPath,
    wanted: Rotate,
    caller: Writer,
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the key with its new text, shown this once; the text before stays valid for the overlap, never past the expiry."""
    now, resources = datetime.now(UTC), request.app.state.resources
    how = {"overlap_seconds": wanted.overlap_seconds, "peppers": resources.peppers, "feed": resources.feed, "now": now}

    async def make() -> ApiKeyCreated:
        issued = await service.rotate(session, caller=caller, key_id=key_id, **how)
        return created_view_of(issued.key, text=issued.text.get_secret_value(), now=now)

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=make, **_KEPT)


@router.post("/finish", summary="End the replaced versions now", responses=problem_responses(NotFound, ApiKeyNotActive))
async def finish(request: Request, key_id: ApiKeyIdInPath, caller: Writer, session: Transaction) -> ApiKeyView:
    """Return the key with its current version alone; doing it again changes nothing."""
    now, feed = datetime.now(UTC), request.app.state.resources.feed
    return view_of(await service.finish(session, caller=caller, key_id=key_id, feed=feed, now=now), now=now)


@router.post(
    "/undo",
    summary="Go back to the replaced version",
    responses=problem_responses(NotFound, ScopeEscalation, EnvironmentMismatch, ApiKeyNotActive, NothingToUndo),
)
async def undo(request: Request, key_id: ApiKeyIdInPath, caller: Writer, session: Transaction) -> ApiKeyView:
    """Return the key with the replaced version restored and the newer one ended; possible while the overlap lasts."""
    now, feed = datetime.now(UTC), request.app.state.resources.feed
    return view_of(await service.undo(session, caller=caller, key_id=key_id, feed=feed, now=now), now=now)
