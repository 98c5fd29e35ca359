"""A person's decision about a transfer in manual_review: written down, audited, and where it can, carried on from there."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.audit_entries import repository as audit_entries
from shared.problems import NotFound
from wallet_gateway.external_wallets import repository as wallets
from wallet_gateway.external_wallets.availability import retention_of
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.transfers import engine_repository, review_repository
from wallet_gateway.transfers.course import Decision, Move, Terms, postpone, settle
from wallet_gateway.transfers.errors import NotInReview
from wallet_gateway.transfers.journey import Journey
from wallet_gateway.transfers.pinned_endpoint import pin, repeats_safely
from wallet_gateway.transfers.plan import Side
from wallet_gateway.transfers.resolution import Policy
from wallet_gateway.transfers.transfer import Claimed


class Review:
    """Decisions of one API process."""

    def __init__(self, *, review_after: timedelta) -> None:
        self._policy = Policy(review_after=review_after)

    async def resolve(
        self, session: AsyncSession, caller: Caller, transfer_id: UUID, *, decision: Decision, evidence: str
    ) -> None:
        """Write a decision down, with what follows from it; raises NotFound, NotInReview."""
        claimed = await review_repository.reopen(
            session, realm=caller.realm, transfer_id=transfer_id, decision=decision, evidence=evidence, by=caller.actor
        )
        if claimed is None:
            if not await review_repository.exists(session, realm=caller.realm, transfer_id=transfer_id):
                raise NotFound
            raise NotInReview
        await self._settle(session, caller.realm, claimed, decision)
        await audit_entries.record(
            session,
            caller,
            action="transfer.resolved",
            target=typeids.encode("tr", transfer_id),
            changes={"decision": decision, "evidence": evidence},
        )

    async def _settle(self, session: AsyncSession, realm: Realm, claimed: Claimed, decision: Decision) -> None:
        assert claimed.transfer.shape is not None  # nothing without a shape has begun, and so cannot be under review
        sides: dict[Side, Wallet] = {
            "source": await _wallet(session, realm, claimed.transfer.source.wallet_id),
            "target": await _wallet(session, realm, claimed.transfer.target.wallet_id),
        }
        now = datetime.now(UTC)
        terms = {side: _terms(wallet) for side, wallet in sides.items()}
        journey = Journey(claimed, shape=claimed.transfer.shape, terms=terms)
        move: Move = postpone(settle(journey.course, decision, now=now, policy=self._policy))
        pinned = {side: pin(wallet) for side, wallet in sides.items()}
        record: dict[str, Any] = {**journey.make(move, None, pinned=pinned, now=now), "basis": "decision"}
        await engine_repository.record(await session.connection(), [record])
        if move.end is not None:
            await review_repository.post_by_hand(
                session, transfer_id=claimed.transfer.id, is_completed=decision == "completed"
            )


async def _wallet(session: AsyncSession, realm: Realm, wallet_id: UUID) -> Wallet:
    found = await wallets.find(session, realm=realm, wallet=wallet_id, with_deleted=True)
    assert found is not None  # a wallet keeps its row
    return found


def _terms(wallet: Wallet) -> Terms:
    return Terms(
        repeats_safely=repeats_safely(wallet.protocol),
        step_seconds=wallet.step_seconds,
        retention=retention_of(wallet),
    )
