"""HTTP of key pairs."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response

from credentials.api_keys.callers import require_owner
from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from credentials.api_keys.owner import KeyCaller
from credentials.api_keys.schemas import ApiKeyCreated, created_view_of
from credentials.api_keys.service import IssuedKey
from credentials.key_pairs import service
from credentials.key_pairs.schemas import PairCreated, PairWanted
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/api-keys", tags=["api keys"], route_class=StrictRoute)

_SECRETS = frozenset({"public.key", "secret.key"})


@router.post(
    "/regenerate-pair",
    status_code=201,
    response_model=PairCreated,
    summary="Replace an environment's public and secret key",
    responses=problem_responses(
        NotFound, ScopeEscalation, EnvironmentMismatch, IdempotencyInProgress, IdempotencyMismatch
    ),
)
async def regenerate(
    request: Request,
    wanted: PairWanted,
    caller: Annotated[KeyCaller, require_owner("api_keys:write")],
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return a new pair with its texts, shown this once. The pair this call made before is blocked now, or after the overlap.

    New keys take over name, grants, addresses and metadata; the first pair reads in the browser, and integrates as the role
    `integration` does.
    """
    now, resources = datetime.now(UTC), request.app.state.resources
    how = {"peppers": resources.peppers, "feed": resources.feed, "now": now}

    async def make() -> PairCreated:
        pair = await service.regenerate(session, caller=caller, wanted=wanted, **how)
        return _shown(pair, now=now)

    return await answer_once(
        session, realm=caller.realm, key=idempotency_key, create=make, secret_fields=_SECRETS, seen_with="api_keys:read"
    )


def _shown(pair: service.IssuedPair, *, now: datetime) -> PairCreated:
    def view(issued: IssuedKey) -> ApiKeyCreated:
        return created_view_of(issued.key, text=issued.text.get_secret_value(), now=now)

    return PairCreated(public=view(pair.public), secret=view(pair.secret))
