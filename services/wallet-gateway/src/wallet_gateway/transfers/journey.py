"""A transfer in the hands of a worker: what is written down, as a course, and each move as a record to write. Pure.

``Journey`` is the one place that numbers steps and attempts. A record holds everything that becomes true at once: what a call
found out, the step that is thereby certain, its posting, the next step, and the intent of the next call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from wallet_gateway.protocols.results import CallRecord
from wallet_gateway.transfers import events, plan
from wallet_gateway.transfers.course import Course, Move, Terms
from wallet_gateway.transfers.plan import Done, Shape, Side, StepKind
from wallet_gateway.transfers.resolution import Finding, Step
from wallet_gateway.transfers.transfer import Claimed, StepRow, Transfer

Record = dict[str, Any]
"""One row for ``engine_repository.record``; what is absent is null there."""

_MOVEMENTS = {
    StepKind.DEBIT: "debit",
    StepKind.COMMIT: "debit",
    StepKind.CREDIT: "credit",
    StepKind.REFUND: "refund",
}
_AT_THE_FIRST = frozenset({StepKind.COMMIT, StepKind.RELEASE, StepKind.REFUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the latest call found out, and how the call went (None: our own limits did not let it out)."""

    finding: Finding
    call: CallRecord | None


class Journey:
    """One transfer under one fence. ``course`` is as of the last move."""

    def __init__(self, claimed: Claimed, *, shape: Shape, terms: Mapping[Side, Terms]) -> None:
        self.transfer: Transfer = replace(claimed.transfer, shape=shape)
        self.fence = claimed.fence
        self.revision = claimed.revision
        self.steps = list(claimed.steps)
        self.course = course_of(self.transfer.id, shape, self.steps, terms=terms)

    @property
    def step(self) -> StepRow:
        """Return the step under way."""
        return self.steps[-1]

    def make(self, move: Move, heard: Heard | None, *, pinned: Mapping[Side, dict[str, Any]], now: datetime) -> Record:
        """Take a move, and return the record that must be written before anything else is done.

        ``pinned``: the endpoint of each side, for a step that begins.
        """
        record: Record = {
            **self._address(),
            "shape": self.transfer.shape,
            "status": move.end.status if move.end else "pending",
            "outcome_unknown": move.course.outcome_is_unknown
            and (move.end is None or move.end.status == "manual_review"),
            "due_at": None if move.end else move.at,
            "keeps": move.is_made_now(now),
        }
        if heard is not None:
            record |= self._heard(heard)
        if move.concluded is not None:
            record |= self._concluded(move.concluded, heard, now=now)
        self.course = move.course
        if move.begun:
            record |= self._begin(move.course.step, pinned)
        if record["keeps"]:
            record |= self._intended(move, now=now)
        if move.end is not None:
            failure = move.end.failure
            record |= {"failure_code": failure and failure.code, "failure_detail": failure and failure.detail}
            record |= events.row_of(self.transfer, move.end, revision=self.revision, now=now)
        self.revision += 1
        return record

    def _address(self) -> Record:
        return {"id": str(self.transfer.id), "fence": self.fence, "revision": self.revision}

    def _heard(self, heard: Heard) -> Record:
        assert self.course.step is not None
        finding, call = heard.finding, heard.call
        return {
            "heard_step": self.step.number,
            "heard_attempt": len(self.course.step.attempts),
            "outcome": finding.outcome,
            "code": finding.code,
            "wallet_state": finding.state,
            "started_at": call and call.started_at,
            "duration_ms": call and call.duration_ms,
            "response_status": call and call.response_status,
            "request_digest": call and call.request_digest,
            "response_digest": call and call.response_digest,
            "signature_verified": call and call.signature_verified,
            "clock_skew_seconds": call and call.clock_skew_seconds,
        }

    def _concluded(self, done: Done, heard: Heard | None, *, now: datetime) -> Record:
        outcome = "applied" if done.applied else "not_applied"
        self.steps[-1] = replace(
            self.steps[-1],
            outcome="applied" if done.applied else "not_applied",
            hold_ends=done.hold_ends,
            failure=done.failure,
        )
        return {
            "ended_step": self.step.number,
            "step_outcome": outcome,
            "hold_ends": done.hold_ends,
            "step_failure_code": done.failure and done.failure.code,
            "step_failure_detail": done.failure and done.failure.detail,
            "wallet_txn_id": heard.finding.wallet_txn_id if heard else None,
            "ended_at": now,
            "movement": _movement(done),
        }

    def _begin(self, step: Step | None, pinned: Mapping[Side, dict[str, Any]]) -> Record:
        assert step is not None
        side = plan.side_of(step.kind)
        # What the first step did is ended or given back where it was done, wherever the wallet is by now.
        endpoint = self.steps[0].endpoint if self.steps and step.kind in _AT_THE_FIRST else pinned[side]
        row = StepRow(
            number=len(self.steps) + 1,
            kind=step.kind,
            mode=step.mode,
            wallet_id=self.transfer.account(side).wallet_id,
            endpoint=endpoint,
            begun_at=step.begun_at,
            not_after=step.not_after,
        )
        self.steps.append(row)
        return {
            "begun_step": row.number,
            "kind": row.kind,
            "mode": row.mode,
            "step_wallet_id": str(row.wallet_id),
            "endpoint": endpoint,
            "begun_at": row.begun_at,
            "not_after": row.not_after,
        }

    def _intended(self, move: Move, *, now: datetime) -> Record:
        assert move.course.step is not None
        return {
            "intent_step": self.step.number,
            "intent_attempt": len(move.course.step.attempts),
            "intent_call": move.call,
            "intended_at": now,
        }


def _movement(done: Done) -> str | None:
    """Return what is posted of a step. A hold that cannot be let go is one that the wallet has taken."""
    if done.kind is StepKind.RELEASE:
        return None if done.applied else "debit"
    return _MOVEMENTS.get(done.kind) if done.applied else None


def course_of(transfer_id: UUID, shape: Shape, steps: Sequence[StepRow], *, terms: Mapping[Side, Terms]) -> Course:
    """Return the course that is written down. An attempt whose worker went down has the outcome ``unknown``."""
    done = tuple(
        Done(kind=row.kind, applied=row.outcome == "applied", failure=row.failure, hold_ends=row.hold_ends)
        for row in steps
        if row.outcome is not None
    )
    step = None
    if steps and steps[-1].outcome is None:
        row = steps[-1]
        attempts = tuple(replace(item, outcome=item.outcome or "unknown") for item in row.attempts)
        step = Step(kind=row.kind, mode=row.mode, begun_at=row.begun_at, not_after=row.not_after, attempts=attempts)
    return Course(transfer_id=transfer_id, shape=shape, terms=terms, done=done, step=step)
