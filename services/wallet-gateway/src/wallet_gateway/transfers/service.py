"""Rules of beginning a transfer, and of showing transfers. What carries them out is ``engine``."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.audit_entries import repository as audit_entries
from shared.database import Database
from shared.ewp.money import MoneyError, parse_money
from shared.idempotency import IdempotencyKey, demand_sight
from shared.problems import IdempotencyMismatch, NotFound, Problem, ValidationFailed
from wallet_gateway.external_wallets import repository as wallets
from wallet_gateway.external_wallets.availability import refuse_new_transfer
from wallet_gateway.external_wallets.discovery import are_old
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.same_system import stays_within
from wallet_gateway.isolation.gate import Isolation
from wallet_gateway.transfers import presentation, repository, schemas, timeline_repository
from wallet_gateway.transfers.begin_repository import Beginning
from wallet_gateway.transfers.beginnings import Beginnings
from wallet_gateway.transfers.errors import (
    IdempotencyKeyRequired,
    ProtocolCannotTransfer,
    SameWallet,
    UnknownWallet,
)
from wallet_gateway.transfers.events import wallet_name
from wallet_gateway.transfers.plan import Side
from wallet_gateway.transfers.repository import KeptRequest, NewTransfer, ShownTransfer
from wallet_gateway.transfers.shaping import known_shape
from wallet_gateway.transfers.transfer import Account
from wallet_gateway.transfers.waiting import Ends
from wallet_gateway.transfers.wake_up import Hints

_SEEN_WITH: Final = "transfers:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the caller is told, as JSON; ``is_repeated``: the request was made before, and this is its first answer."""

    body: bytes
    is_repeated: bool


class Transfers:
    """The transfers of one API process."""

    def __init__(
        self,
        *,
        database: Database,
        beginnings: Beginnings,
        isolation: Isolation,
        begun: Hints,
        ends: Ends,
        review_after: timedelta,
    ) -> None:
        self._database = database
        self._beginnings = beginnings
        self._isolation = isolation
        self._begun = begun
        self._ends = ends
        self._review_after = review_after

    async def create(
        self, caller: Caller, wanted: schemas.TransferIn, *, key: IdempotencyKey | None, wait_ms: int
    ) -> Answer:
        """Begin a transfer once for a key; waits for its end outside any transaction.

        Raises IdempotencyKeyRequired, IdempotencyMismatch, SameWallet, UnknownWallet, WalletDisabled, WalletFrozen,
        RetentionTooShort, WalletUnavailable, ProtocolCannotTransfer, ValidationFailed; InsufficientScope for who repeats
        another's request and may not see transfers.
        """
        if key is None:
            raise IdempotencyKeyRequired
        transfer_id = typeids.new_id()
        with self._ends.expect(transfer_id) as ended:
            begun = await self._begin_once(caller, wanted, key, transfer_id=transfer_id)
            if isinstance(begun, KeptRequest):
                return _repeated(begun, key, caller)
            self._begun.send_soon(transfer_id)
            if not wait_ms or not await _comes_in_time(ended, wait_ms / 1000):
                return Answer(body=_json(presentation.as_begun(begun)), is_repeated=False)
        return await self._final_answer(caller.realm, transfer_id)

    async def get(self, session: AsyncSession, realm: Realm, transfer_id: UUID) -> schemas.TransferWithTimelineOut:
        """Return a transfer with its timeline; raises NotFound."""
        transfer = await repository.find(session, realm=realm, transfer_id=transfer_id)
        if transfer is None:
            raise NotFound
        steps = await timeline_repository.steps_of(session, transfer_id)
        attempts = await timeline_repository.attempts_of(session, transfer_id)
        decisions = await timeline_repository.decisions_of(session, transfer_id)
        return presentation.with_timeline(transfer, steps, attempts, decisions)

    def wake_after_commit(self, session: AsyncSession, transfer_id: UUID) -> None:
        """Tell the workers of a transfer once the session's transaction is committed."""
        event.listen(
            session.sync_session, "after_commit", lambda _session: self._begun.send_soon(transfer_id), once=True
        )

    async def _begin_once(
        self, caller: Caller, wanted: schemas.TransferIn, key: IdempotencyKey, *, transfer_id: UUID
    ) -> ShownTransfer | KeptRequest:
        """Begin a transfer, or return what the key has begun before, whatever would be said against it today."""
        begun = await self._begin_shortly(caller, wanted, key, transfer_id=transfer_id)
        if begun is not None:
            return begun
        try:
            async with self._database.transaction() as session:
                begun = await self._begin(session, caller, wanted, key, transfer_id=transfer_id)
        except Problem:
            kept = await self._kept(caller.realm, key)
            if kept is None:
                raise
            return kept
        if begun is not None:
            return begun
        kept = await self._kept(caller.realm, key)
        assert kept is not None  # transfers are never removed
        return kept

    async def _begin_shortly(
        self, caller: Caller, wanted: schemas.TransferIn, key: IdempotencyKey, *, transfer_id: UUID
    ) -> ShownTransfer | None:
        """Begin a transfer on what was seen of its wallets before; None where there is anything else to say."""
        source = await self._beginnings.look_at(caller.realm, wanted.source.wallet)
        target = await self._beginnings.look_at(caller.realm, wanted.target.wallet)
        if source is None or target is None:
            return None
        try:
            amount = _amount_of(wanted)
            self._refuse_unusable(source.wallet)
            self._refuse_unusable(target.wallet)
            new = _new_transfer(
                caller, wanted, key, transfer_id=transfer_id, amount=amount, source=source.wallet, target=target.wallet
            )
        except Problem:
            self._beginnings.forget(caller.realm, source, target)
            return None
        at = await self._beginnings.begin(
            Beginning(new=new, caller=caller, source=source, target=target, changes=_audited(new))
        )
        return None if at is None else repository.as_inserted(new, at=at)

    async def _kept(self, realm: Realm, key: IdempotencyKey) -> KeptRequest | None:
        async with self._database.transaction() as session:
            return await repository.find_request(session, realm=realm, key=key.key)

    async def _begin(
        self,
        session: AsyncSession,
        caller: Caller,
        wanted: schemas.TransferIn,
        key: IdempotencyKey,
        *,
        transfer_id: UUID,
    ) -> ShownTransfer | None:
        amount = _amount_of(wanted)
        source = await self._usable(session, caller.realm, wanted.source, side="source")
        target = await self._usable(session, caller.realm, wanted.target, side="target")
        new = _new_transfer(caller, wanted, key, transfer_id=transfer_id, amount=amount, source=source, target=target)
        begun = await repository.insert(session, new)
        if begun is not None:
            await _audit_begin(session, caller, new)
        return begun

    async def _usable(self, session: AsyncSession, realm: Realm, wanted: schemas.SideIn, *, side: Side) -> Wallet:
        """Return a wallet that a transfer may begin with; it is not deleted before the commit.

        One that is disabled at this moment is as one disabled right after: transfers that have begun are brought to their end.
        """
        wallet = await wallets.find(session, realm=realm, wallet=wanted.wallet, lock="KEY SHARE")
        if wallet is None:
            raise UnknownWallet(side)
        self._refuse_unusable(wallet)
        return wallet

    def _refuse_unusable(self, wallet: Wallet) -> None:
        if wallet.protocol != "ewp/1" and wallet.transfer_call is None:
            raise ProtocolCannotTransfer
        open_seconds = self._isolation.open_seconds(wallet.id)
        refuse_new_transfer(wallet, open_seconds=open_seconds, review_after=self._review_after, now=datetime.now(UTC))

    async def _final_answer(self, realm: Realm, transfer_id: UUID) -> Answer:
        async with self._database.transaction() as session:
            transfer = await repository.find(session, realm=realm, transfer_id=transfer_id)
            assert transfer is not None
            body = _json(presentation.shown(transfer))
            await repository.keep_answer(session, realm=realm, transfer_id=transfer_id, answer=body)
        return Answer(body=body, is_repeated=False)


def _repeated(kept: KeptRequest, key: IdempotencyKey, caller: Caller) -> Answer:
    if kept.fingerprint != key.fingerprint:
        raise IdempotencyMismatch
    if kept.created_by != caller.actor:
        demand_sight(caller.principal, _SEEN_WITH)
    return Answer(body=kept.first_answer or _json(presentation.as_begun(kept.transfer)), is_repeated=True)


async def _comes_in_time(ended: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    return True


async def _audit_begin(session: AsyncSession, caller: Caller, new: NewTransfer) -> None:
    await audit_entries.record(
        session, caller, action="transfer.created", target=typeids.encode("tr", new.id), changes=_audited(new)
    )


def _audited(new: NewTransfer) -> dict[str, str]:
    return {
        "source": wallet_name(new.source),
        "target": wallet_name(new.target),
        "amount": str(new.amount),
        "currency": new.currency,
    }


def _amount_of(wanted: schemas.TransferIn) -> Decimal:
    """Return what is to be moved; raises ValidationFailed, and SameWallet where that can be told already."""
    try:
        amount = parse_money(wanted.amount, currency=wanted.currency)
    except MoneyError as exc:
        raise ValidationFailed(errors=[{"pointer": "/amount", "detail": str(exc)}]) from exc
    if amount == 0:
        raise ValidationFailed(errors=[{"pointer": "/amount", "detail": "an amount that moves is more than zero"}])
    if wanted.source.wallet == wanted.target.wallet:
        raise SameWallet
    return amount


def _new_transfer(
    caller: Caller,
    wanted: schemas.TransferIn,
    key: IdempotencyKey,
    *,
    transfer_id: UUID,
    amount: Decimal,
    source: Wallet,
    target: Wallet,
) -> NewTransfer:
    """Return what is written of a transfer that begins; raises SameWallet."""
    if stays_within(source, target, source_account=wanted.source.account, target_account=wanted.target.account):
        raise SameWallet
    now = datetime.now(UTC)
    return NewTransfer(
        id=transfer_id,
        realm=caller.realm,
        idempotency_key=key.key,
        fingerprint=key.fingerprint,
        owner_ref=wanted.owner_ref,
        source=Account(wallet_id=source.id, is_home=source.is_home, account=wanted.source.account),
        target=Account(wallet_id=target.id, is_home=target.is_home, account=wanted.target.account),
        amount=amount,
        currency=wanted.currency,
        reference=wanted.reference,
        metadata=wanted.metadata,
        shape=None if any(are_old(wallet, now=now) for wallet in (source, target)) else known_shape(source),
        created_by=caller.actor,
    )


def _json(shown: schemas.TransferOut) -> bytes:
    return shown.model_dump_json().encode()
