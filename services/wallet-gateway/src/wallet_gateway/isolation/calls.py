"""Calls to wallets through their gates: what each outcome says of the wallet's health."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from wallet_gateway.isolation.gate import Isolation, Lane
from wallet_gateway.protocols.results import NotSent, Read, ReadFailed, StepResult, Unknown

T = TypeVar("T")
_CLIENT_ERRORS = range(400, 500)
_TRY_LATER = frozenset({408, 425, 429})


async def isolated_read(
    isolation: Isolation,
    wallet_id: UUID,
    call: Callable[[], Awaitable[Read[T]]],
    *,
    tenant_id: UUID,
    wait_seconds: float,
    lane: Lane = "read",
) -> Read[T]:
    """Make a read; raises NotAdmitted when it was not made, ReadFailed when it brought nothing."""
    async with isolation.admit(wallet_id, lane, tenant_id=tenant_id, wait_seconds=wait_seconds) as ticket:
        try:
            read = await call()
        except ReadFailed as failed:
            if is_healthy_refusal(failed.call.response_status):
                ticket.answered()
            else:
                ticket.failed()
            raise
        ticket.answered()
        return read


async def isolated_step(
    isolation: Isolation,
    wallet_id: UUID,
    call: Callable[[], Awaitable[StepResult]],
    *,
    tenant_id: UUID,
    wait_seconds: float,
    lane: Lane = "write",
) -> StepResult:
    """Make a call of a step; raises NotAdmitted when it was not made."""
    async with isolation.admit(wallet_id, lane, tenant_id=tenant_id, wait_seconds=wait_seconds) as ticket:
        result = await call()
        if isinstance(result, NotSent | Unknown) and not is_healthy_refusal(result.call.response_status):
            ticket.failed()
        else:
            ticket.answered()
        return result


def is_healthy_refusal(status: int | None) -> bool:
    """Tell whether a status shows a server that works and does not want this call: no reason to leave it alone."""
    return status is not None and status in _CLIENT_ERRORS and status not in _TRY_LATER
