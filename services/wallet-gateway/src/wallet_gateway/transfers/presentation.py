"""Transfers as callers see them. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.ewp.money import format_amount, scale_of
from wallet_gateway.transfers import plan, schemas
from wallet_gateway.transfers.events import wallet_name
from wallet_gateway.transfers.plan import StepKind
from wallet_gateway.transfers.repository import ShownTransfer
from wallet_gateway.transfers.transfer import Account


def shown(transfer: ShownTransfer) -> schemas.TransferOut:
    """Return a transfer as it is now."""
    return schemas.TransferOut(**_fields(transfer))


def as_begun(transfer: ShownTransfer) -> schemas.TransferOut:
    """Return a transfer as it was when it began: what the first request was told, and a repetition is told again."""
    return shown(
        replace(
            transfer,
            status="pending",
            outcome_unknown=False,
            failure_code=None,
            failure_detail=None,
            updated_at=transfer.created_at,
            ended_at=None,
        )
    )


def with_timeline(
    transfer: ShownTransfer, steps: Sequence[Any], attempts: Sequence[Any], decisions: Sequence[Any]
) -> schemas.TransferWithTimelineOut:
    """Return a transfer with its steps, their calls and what was decided; all are rows of ``timeline_repository``."""
    calls: dict[int, list[schemas.AttemptOut]] = defaultdict(list)
    for row in attempts:
        calls[row.step].append(
            schemas.AttemptOut(**{name: getattr(row, name) for name in schemas.AttemptOut.model_fields})
        )
    decided = [schemas.DecisionOut(**row._mapping) for row in decisions]
    return schemas.TransferWithTimelineOut(
        **_fields(transfer),
        decision=decided[-1] if decided else None,
        decisions=decided,
        steps=[_step(transfer, row, calls[row.number]) for row in steps],
    )


def _fields(transfer: ShownTransfer) -> dict[str, Any]:
    same = ("id", "status", "outcome_unknown", "owner_ref", "currency", "reference", "metadata")
    times = ("created_at", "updated_at", "ended_at")
    return {
        **{name: getattr(transfer, name) for name in (*same, *times)},
        "source": _side(transfer.source),
        "target": _side(transfer.target),
        "amount": format_amount(transfer.amount, scale_of(transfer.currency)),
        "failure": _failure(transfer.failure_code, transfer.failure_detail),
    }


def _side(account: Account) -> schemas.SideOut:
    return schemas.SideOut(wallet=wallet_name(account), account=account.account)


def _failure(code: str | None, detail: str | None) -> schemas.FailureOut | None:
    return None if code is None else schemas.FailureOut(code=code, detail=detail or "")


def _step(transfer: ShownTransfer, row: Any, attempts: list[schemas.AttemptOut]) -> schemas.StepOut:
    kind = StepKind(row.kind)
    account = transfer.target if plan.side_of(kind) == "target" else transfer.source
    took = (row.ended_at - row.begun_at).total_seconds() * 1000 if row.ended_at else None
    return schemas.StepOut(
        id=plan.step_id(transfer.id, kind),
        leg=plan.leg_of(kind),
        kind=kind,
        wallet=wallet_name(account),
        base_url=row.base_url,
        begun_at=row.begun_at,
        not_after=row.not_after,
        ended_at=row.ended_at,
        latency_ms=took,
        outcome=row.outcome,
        failure=_failure(row.failure_code, row.failure_detail),
        wallet_txn_id=row.wallet_txn_id,
        attempts=attempts,
    )
