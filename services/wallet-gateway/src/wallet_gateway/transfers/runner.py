"""Carries a claimed transfer as far as it goes now: write the move down, make the call, hand in what it found out, again.

Nothing is sent before its intent is committed, and no transaction is open while something is sent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from wallet_gateway.external_wallets.availability import retention_of
from wallet_gateway.external_wallets.repository import StoredWallet
from wallet_gateway.transfers.caller import StepCaller
from wallet_gateway.transfers.course import Move, Terms, advance, postpone
from wallet_gateway.transfers.crowd import Crowd
from wallet_gateway.transfers.journey import Heard, Journey
from wallet_gateway.transfers.pinned_endpoint import pin, repeats_safely
from wallet_gateway.transfers.plan import Shape, Side, StepKind
from wallet_gateway.transfers.recorder import Recorder
from wallet_gateway.transfers.resolution import Finding, Policy
from wallet_gateway.transfers.shaping import Shaping, Unshaped
from wallet_gateway.transfers.transfer import Claimed
from wallet_gateway.transfers.wallet_book import WalletBook

Hindrance = Literal["stopping", "lease_lost"]
_AGAIN_SECONDS: Final = 0.5
_UNPROCESSABLE: Final = 422

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One per worker. ``hindrance`` tells why this worker may not begin another call; None: it may."""

    book: WalletBook
    shaping: Shaping
    caller: StepCaller
    recorder: Recorder
    policy: Policy
    hindrance: Callable[[], Hindrance | None]
    ended: Callable[[UUID], None]
    later: Callable[[UUID, datetime], None]
    crowd: Crowd

    async def run(self, claimed: Claimed) -> None:
        """Carry out moves until the transfer ends or has to wait, or until another worker has it."""
        stands_at = partial(self.crowd.enter, claimed.transfer.id, claimed.fence)
        shape = claimed.transfer.shape or await self.shaping.shape_of(claimed.transfer, waits_for=stands_at)
        if isinstance(shape, Unshaped):
            await self._wait_unshaped(claimed, shape)
            return
        wallets = await self._wallets(claimed)
        journey = Journey(claimed, shape=shape, terms={side: _terms(stored) for side, stored in wallets.items()})
        heard: Heard | None = None
        while True:
            now = datetime.now(UTC)
            move = advance(journey.course, heard.finding if heard else None, now=now, policy=self.policy)
            if self.hindrance() is not None:
                move = postpone(move)
            pinned = await self._pins(claimed) if move.begun else {}
            record = journey.make(move, heard, pinned=pinned, now=now)
            if not await self.recorder.write(record):
                log.info("transfer.fenced_off", transfer_id=typeids.encode("tr", journey.transfer.id))
                return
            if move.begun:
                stands_at(journey.step.wallet_id)
            _log(journey, move, heard)
            if not record["keeps"]:
                self._leave(journey, move)
                return
            assert move.call is not None
            hindrance = self.hindrance()
            if hindrance is not None:
                # The intent is taken back: the lease may be renewed, and then nobody else would ever take the transfer.
                heard = Heard(finding=Finding(outcome="not_sent", code=hindrance), call=None)
                continue
            stored = await self.book.get(journey.transfer.realm, journey.step.wallet_id)
            heard = await self.caller.call(journey, move.call, stored)
            if _says_it_cannot(journey, heard):
                self.shaping.doubt(stored)

    def _leave(self, journey: Journey, move: Move) -> None:
        if move.end is not None:
            self.ended(journey.transfer.id)
        elif move.at is not None:
            self.later(journey.transfer.id, move.at)

    async def _wallets(self, claimed: Claimed) -> dict[Side, StoredWallet]:
        transfer = claimed.transfer
        wallets: dict[Side, StoredWallet] = {}
        for side in ("source", "target"):
            wallets[side] = await self.book.get(transfer.realm, transfer.account(side).wallet_id)
        return wallets

    async def _pins(self, claimed: Claimed) -> dict[Side, dict[str, Any]]:
        """Return where the wallets are now; asked for until the database answers, since a call may have been heard already."""
        while True:
            try:
                return {side: pin(stored.wallet) for side, stored in (await self._wallets(claimed)).items()}
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("transfers.pins_wait", reason=type(exc).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _wait_unshaped(self, claimed: Claimed, unshaped: Unshaped) -> None:
        """Write down that nothing has begun, and why."""
        journey = Journey(claimed, shape=Shape.DEBIT_CREDIT, terms={})
        journey.transfer = replace(journey.transfer, shape=None)
        move = Move(course=journey.course, at=unshaped.at, end=unshaped.end)
        now = datetime.now(UTC)
        if await self.recorder.write(journey.make(move, None, pinned={}, now=now)):
            self._leave(journey, move)


def _terms(stored: StoredWallet) -> Terms:
    wallet = stored.wallet
    return Terms(
        repeats_safely=repeats_safely(wallet.protocol),
        step_seconds=wallet.step_seconds,
        retention=retention_of(wallet),
    )


def _says_it_cannot(journey: Journey, heard: Heard) -> bool:
    """Tell whether a wallet refuses to hold, as one does that no longer can; the outcome is unknown all the same."""
    return (
        journey.step.kind is StepKind.HOLD and heard.call is not None and heard.call.response_status == _UNPROCESSABLE
    )


def _log(journey: Journey, move: Move, heard: Heard | None) -> None:
    """Write the one wide line of a call; what went as it should is told at debug level, since the timeline has it."""
    if heard is None and move.end is None:
        return
    finding = heard.finding if heard else None
    went_well = finding is None or (finding.outcome == "definitive" and finding.state in {"held", "committed"})
    write = log.debug if went_well and (move.end is None or move.end.status == "completed") else log.info
    write(
        "transfer.called",
        transfer_id=typeids.encode("tr", journey.transfer.id),
        step=move.concluded.kind if move.concluded else journey.step.kind if journey.steps else None,
        applied=move.concluded.applied if move.concluded else None,
        outcome=finding.outcome if finding else None,
        code=finding.code if finding else None,
        state=finding.state if finding else None,
        response_status=heard.call.response_status if heard and heard.call else None,
        duration_ms=round(heard.call.duration_ms, 2) if heard and heard.call else None,
        next_call=move.call,
        next_at=move.at.isoformat() if move.at else None,
        status=move.end.status if move.end else "pending",
        failure=move.end.failure.code if move.end and move.end.failure else None,
        fence=journey.fence,
    )
