"""What a wallet is asked for in a step, and what its answer means. Pure.

The order of a step is the same each time it is sent: all of it is written down before the first time.
"""

from collections.abc import Sequence
from typing import Final

from shared.ewp.messages import TransferOrder
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.protocols.results import Definitive, EchoMismatch, NotFound, NotSent, StepResult
from wallet_gateway.transfers import plan
from wallet_gateway.transfers.plan import StepKind
from wallet_gateway.transfers.resolution import Finding
from wallet_gateway.transfers.transfer import StepRow, Transfer

_OF_THE_HOLD: Final = frozenset({StepKind.COMMIT, StepKind.RELEASE})


def order_of(transfer: Transfer, steps: Sequence[StepRow], step: StepRow) -> TransferOrder:
    """Return the order that a step makes, asks for, or ends: the end of a hold is about the hold's."""
    ordered = next(row for row in steps if row.kind is StepKind.HOLD) if step.kind in _OF_THE_HOLD else step
    side = transfer.account(plan.side_of(step.kind))
    return TransferOrder(
        transfer_id=plan.order_id(transfer.id, step.kind),
        op="credit" if ordered.kind in {StepKind.CREDIT, StepKind.REFUND} else "debit",
        mode="hold" if ordered.kind is StepKind.HOLD else "direct",
        wallet_id=side.account,
        owner_ref=transfer.owner_ref,
        amount=transfer.amount,
        currency=transfer.currency,
        not_after=ordered.not_after,
        reference=transfer.reference,
    )


def finding_of(result: StepResult) -> Finding:
    """Return what a call found out."""
    match result:
        case Definitive(answer=answer):
            error = answer.error
            return Finding(
                outcome="definitive",
                state=answer.state,
                code=error.code if error else None,
                detail=(error.detail or None) if error else None,
                hold_ends=answer.hold_expires_at is not None,
                wallet_txn_id=answer.wallet_txn_id,
            )
        case NotSent(code=code):
            return Finding(outcome="not_sent", code=code)
        case EchoMismatch(detail=field):
            detail = f"The wallet answered about another {field} than was ordered."
            return Finding(outcome="echo_mismatch", code=field, detail=detail)
        case NotFound():
            return Finding(outcome="not_found")
        case _:
            return Finding(outcome="unknown", code=result.code)


def finding_of_refusal(refusal: NotAdmitted) -> Finding:
    """Return the finding where our own limits did not let a call out."""
    return Finding(outcome="not_sent", code=refusal.code)
