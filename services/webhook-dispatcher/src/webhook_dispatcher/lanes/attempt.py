"""From a claimed delivery to the record of its attempt: send, decide, write down. No database here."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal, cast

import structlog
from structlog.typing import FilteringBoundLogger

from shared import typeids
from webhook_dispatcher.deliveries.retry_policy import (
    OWN_FAULT_DELAY,
    Decision,
    Delivered,
    GiveUp,
    OwnFault,
    Retry,
    decide,
)
from webhook_dispatcher.deliveries.sender import Sender, Sent
from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.deliveries.wire_formats import RenderedEvent
from webhook_dispatcher.lanes.repository import Claimed, Record
from webhook_dispatcher.tracing import Tracing, trace_id_of

log = structlog.get_logger()


async def run_attempt(sender: Sender, claimed: Claimed, target: Target, *, probe: bool = False) -> Record:
    """Make one attempt and return its record; an attempt cut off by shutdown is one of unknown outcome.

    ``probe``: an open breaker let it through.
    """
    event = RenderedEvent(id=claimed.event_id, type=claimed.event_type, payload=claimed.payload)
    try:
        return _record_of(claimed, target, await sender.send(target, event, test=claimed.test), probe=probe)
    except asyncio.CancelledError:
        return own_fault(claimed, code="worker_stopped", outcome="unknown", delay=timedelta(0))
    except Exception:
        log.exception("attempt.failed_by_us", delivery_id=typeids.encode("dlv", claimed.id))
        return own_fault(claimed, code="internal_error")


def _record_of(claimed: Claimed, target: Target, sent: Sent, *, probe: bool) -> Record:
    now = datetime.now(UTC)
    decision = decide(
        sent.outcome, failures=claimed.failures, delays_seconds=target.retry_delays_seconds, now=now, probe=probe
    )
    _log_attempt(claimed, target, sent, decision, probe=probe)
    return Record(
        claimed=claimed,
        status=_status_after(decision),
        failures=decision.failures if isinstance(decision, Retry | GiveUp) else claimed.failures,
        next_attempt_after=decision.after if isinstance(decision, Retry) else None,
        attempt_id=typeids.new_id(),
        started_at=sent.started_at,
        duration_ms=sent.duration_ms,
        outcome="delivered" if isinstance(decision, Delivered) else "failed",
        error_code=sent.error_code,
        url=target.url,
        request_headers=sent.request_headers,
        request_body=sent.request_body,
        response_status=sent.response_status,
        response_headers=sent.response_headers,
        response_body=sent.response_body,
        response_truncated=sent.response_truncated,
        own_fault=isinstance(sent.outcome, OwnFault),
        gone=isinstance(decision, Retry) and decision.disable,
        ordered=target.ordered,
    )


def own_fault(
    claimed: Claimed,
    *,
    code: str,
    outcome: Literal["failed", "unknown"] = "failed",
    delay: timedelta = OWN_FAULT_DELAY,
) -> Record:
    """Return the record of an attempt that failed by us: it uses up nothing, and is made again soon."""
    now = datetime.now(UTC)
    return Record(
        claimed=claimed,
        status="pending",
        failures=claimed.failures,
        next_attempt_after=delay,
        attempt_id=typeids.new_id(),
        started_at=now,
        duration_ms=0.0,
        outcome=outcome,
        error_code=code,
        url=None,
        request_headers=None,
        request_body=None,
        response_status=None,
        response_headers=None,
        response_body=None,
        response_truncated=False,
        own_fault=True,
    )


def _status_after(decision: Decision) -> Literal["pending", "delivered", "failed"]:
    match decision:
        case Delivered():
            return "delivered"
        case GiveUp():
            return "failed"
        case Retry():
            return "pending"


def _log_attempt(claimed: Claimed, target: Target, sent: Sent, decision: Decision, *, probe: bool) -> None:
    """Write the one wide line of an attempt; a success is told at debug level, since history has it as well."""
    level = logging.DEBUG if isinstance(decision, Delivered) else logging.INFO
    logger = _bound_logger()
    if not logger.is_enabled_for(level):
        return
    logger.log(
        level,
        "delivery.attempted",
        delivery_id=typeids.encode("dlv", claimed.id),
        webhook_id=typeids.encode("wh", target.id),
        webhook_revision=target.revision,
        format=target.wire_format,
        event_id=claimed.event_id,
        event_type=claimed.event_type,
        attempt=claimed.attempt,
        failures=claimed.failures,
        probe=probe,
        decision=type(decision).__name__,
        disable=isinstance(decision, Retry) and decision.disable,
        next_attempt_after_seconds=round(decision.after.total_seconds(), 3) if isinstance(decision, Retry) else None,
        status=sent.response_status,
        error_code=sent.error_code,
        own_fault=isinstance(sent.outcome, OwnFault),
        duration_ms=round(sent.duration_ms, 2),
        wait_ms=round((sent.started_at - typeids.created_at(claimed.id)).total_seconds() * 1000),
        request_bytes=len(sent.request_body or claimed.payload),
        response_bytes=len(sent.response_body or b""),
        response_truncated=sent.response_truncated,
        fence=claimed.fence,
        trace_id=trace_id_of(claimed.traceparent),
        test=claimed.test,
    )


@cache
def _bound_logger() -> FilteringBoundLogger:
    """Return the process's logger as it is configured at the first attempt: binding one for each costs more than signing."""
    return cast("FilteringBoundLogger", log.bind())


def trace_attempt(tracing: Tracing, record: Record, target: Target) -> None:
    """Send the attempt on as a span of its event's trace."""
    claimed = record.claimed
    tracing.past_span(
        "delivery.attempt",
        claimed.traceparent,
        started_at=record.started_at,
        duration_ms=record.duration_ms,
        failed=record.outcome != "delivered",
        attributes={
            "causeway.delivery_id": typeids.encode("dlv", claimed.id),
            "causeway.webhook_id": typeids.encode("wh", target.id),
            "causeway.event_id": claimed.event_id,
            "causeway.event_type": claimed.event_type,
            "causeway.attempt": claimed.attempt,
            "causeway.error_code": record.error_code,
            "http.request.method": "POST",
            "http.response.status_code": record.response_status,
        },
    )
