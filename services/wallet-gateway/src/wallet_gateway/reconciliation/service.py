"""Rules of reconciliation for callers: starting runs, and resolving what they found."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.audit_entries import repository as audit_entries
from shared.problems import NotFound, ValidationFailed
from wallet_gateway.external_wallets import repository as wallets_repository
from wallet_gateway.external_wallets.availability import refuse_balances
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.reconciliation import repository
from wallet_gateway.reconciliation.errors import BreakResolved, FeedNotOffered, TooManyReconciliations
from wallet_gateway.reconciliation.models import KnownBreak, Run
from wallet_gateway.reconciliation.schemas import BREAKS_SHOWN_MAX, ReconciliationIn

_DEFAULT_TIME: Final = timedelta(days=7)
_RUNNING_MAX: Final = 10
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing of ours is older."""


async def start(session: AsyncSession, caller: Caller, wanted: ReconciliationIn) -> Run:
    """Begin a run, which a worker carries out.

    Raises NotFound, WalletDisabled, FeedNotOffered, TooManyReconciliations, ValidationFailed.
    """
    now = datetime.now(UTC)
    to_at = max(min(wanted.to or now, now), _EARLIEST)
    from_at = max(wanted.from_ or to_at - _DEFAULT_TIME, _EARLIEST)
    if from_at > to_at:
        raise ValidationFailed(errors=[{"pointer": "/from", "detail": "is later than to, or than now"}])
    wallet = await wallets_repository.find(
        session, realm=caller.realm, wallet=wanted.external_wallet_id, lock="NO KEY UPDATE"
    )
    if wallet is None:
        raise NotFound
    refuse_balances(wallet)
    _refuse_without_feed(wallet)
    if await repository.count_running(session, wallet_id=wallet.id) >= _RUNNING_MAX:
        raise TooManyReconciliations
    run = await repository.insert(
        session,
        realm=caller.realm,
        run_id=typeids.new_id(),
        wallet_id=wallet.id,
        from_at=from_at,
        to_at=to_at,
        created_by=caller.actor,
    )
    target, changes = typeids.encode("rec", run.id), {"external_wallet_id": typeids.encode("ew", wallet.id)}
    await audit_entries.record(session, caller, action="reconciliation.started", target=target, changes=changes)
    return run


async def get(session: AsyncSession, realm: Realm, run_id: UUID) -> tuple[Run, list[KnownBreak]]:
    """Return a run with what it found; raises NotFound."""
    run = await repository.find(session, realm=realm, run_id=run_id)
    if run is None:
        raise NotFound
    return run, list(await repository.find_breaks(session, realm=realm, run_id=run_id, limit=BREAKS_SHOWN_MAX))


async def resolve_break(
    session: AsyncSession, caller: Caller, *, run_id: UUID, break_id: UUID, evidence: str
) -> KnownBreak:
    """Resolve a break; the evidence is audited. Raises NotFound, BreakResolved."""
    found = await repository.find_break(session, realm=caller.realm, run_id=run_id, break_id=break_id)
    if found is None:
        raise NotFound
    if found.resolved_at is not None:
        raise BreakResolved
    resolved = await repository.resolve(
        session, realm=caller.realm, break_id=break_id, resolved_by=caller.actor, evidence=evidence
    )
    changes = {"kind": found.kind, "step_id": found.step_id, "evidence": evidence}
    target = typeids.encode("brk", break_id)
    await audit_entries.record(session, caller, action="reconciliation.break_resolved", target=target, changes=changes)
    return resolved


def _refuse_without_feed(wallet: Wallet) -> None:
    if wallet.protocol == "crm-v1" or (wallet.capabilities is not None and not wallet.capabilities["feed"]):
        raise FeedNotOffered
