"""HTTP of statistics."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from shared.access import Caller, require
from shared.database import Transaction
from shared.problems import NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.statistics import schemas, service
from webhook_dispatcher.webhooks.schemas import WebhookIdInPath

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictRoute)

Reader = Annotated[Caller, require("deliveries:read")]


@router.get("/{webhook_id}/stats", responses=problem_responses(NotFound), summary="How a webhook does")
async def show_stats(
    webhook_id: WebhookIdInPath, caller: Reader, session: Transaction, query: Annotated[schemas.StatsQuery, Query()]
) -> schemas.StatsOut:
    """Show rates and latencies of the window's newest deliveries, up to 10 000, and what waits now.

    It costs the same however much that is.
    """
    window = service.window_of(query.window)
    return await service.stats_of(session, caller.realm, webhook_id, window=window, now=datetime.now(UTC))
