"""SQL of a transfer's timeline: its steps, every call made for them, and what people decided."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ATTEMPTS_SHOWN_MAX: Final = 500


async def steps_of(session: AsyncSession, transfer_id: UUID) -> Sequence[Any]:
    """Return the steps in order; the caller has found the transfer in its realm."""
    statement = text(
        "SELECT number, kind, mode, wallet_id, endpoint ->> 'base_url' AS base_url, begun_at, not_after, ended_at, outcome,"
        " hold_ends, failure_code, failure_detail, wallet_txn_id"
        " FROM transfer_steps WHERE transfer_id = :id ORDER BY number"
    )
    return (await session.execute(statement, {"id": transfer_id})).all()


async def decisions_of(session: AsyncSession, transfer_id: UUID) -> Sequence[Any]:
    """Return what people decided, oldest first."""
    statement = text(
        "SELECT decision, evidence, decided_by, decided_at FROM transfer_decisions WHERE transfer_id = :id ORDER BY number"
    )
    return (await session.execute(statement, {"id": transfer_id})).all()


async def attempts_of(session: AsyncSession, transfer_id: UUID) -> Sequence[Any]:
    """Return the calls in order; of very many the latest."""
    statement = text(
        "SELECT * FROM (SELECT step, number, call, intended_at, started_at, duration_ms, outcome, code, wallet_state,"
        " response_status, request_digest, response_digest, signature_verified, clock_skew_seconds"
        " FROM step_attempts WHERE transfer_id = :id ORDER BY step DESC, number DESC LIMIT :limit) latest"
        " ORDER BY step, number"
    )
    return (await session.execute(statement, {"id": transfer_id, "limit": ATTEMPTS_SHOWN_MAX})).all()
