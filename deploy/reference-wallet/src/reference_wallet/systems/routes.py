"""HTTP of the control API: who may call this wallet, what wallets there are, and what is to go wrong."""

import hmac
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from reference_wallet.faults.rule import FaultRule
from reference_wallet.resources import resources_of
from reference_wallet.systems import schemas
from reference_wallet.systems.errors import (
    ControlTokenRequired,
    FaultsOff,
    KeyIdTaken,
    SystemUnknown,
    WalletDiffers,
    WalletUnknown,
)
from reference_wallet.systems.repository import System
from reference_wallet.systems.service import Control
from reference_wallet.transfers.answers import answer_of, shown_amount
from reference_wallet.wallets.repository import Balance
from shared.database import Transaction
from shared.problems import problem_responses
from shared.request_body import StrictRoute


async def control(request: Request) -> Control:
    """Give a route the control of the server, to whom holds its token; raises ControlTokenRequired."""
    resources = resources_of(request)
    token = resources.settings.control_token.get_secret_value()
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if not token or scheme.lower() != "bearer" or not hmac.compare_digest(shown.encode(), token.encode()):
        raise ControlTokenRequired
    return resources.control


Controlled = Annotated[Control, Depends(control)]
SystemName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
WalletId = Annotated[str, Path(min_length=1, max_length=128)]
KeyId = Annotated[str, Path(pattern=r"^[\x21-\x7e]{1,128}$")]
_ZERO = Decimal(0)
_PROBLEMS = (ControlTokenRequired, SystemUnknown)

router = APIRouter(prefix="/control", tags=["control"], route_class=StrictRoute)


@router.put("/systems/{name}", responses=problem_responses(*_PROBLEMS), summary="Make or change a wallet system")
async def put_system(
    name: SystemName, wanted: schemas.SystemIn, control: Controlled, session: Transaction
) -> schemas.SystemOut:
    """Give it its own keys, wallets, transfers and feed, as a third party's system has."""
    return await _shown(control, session, await control.put_system(session, name, wanted))


@router.get("/systems/{name}", responses=problem_responses(*_PROBLEMS), summary="Show a wallet system")
async def get_system(name: SystemName, control: Controlled, session: Transaction) -> schemas.SystemOut:
    return await _shown(control, session, await control.find_system(session, name))


@router.put(
    "/systems/{name}/api-keys/{key_id}",
    responses=problem_responses(*_PROBLEMS, KeyIdTaken),
    summary="Register an API key",
)
async def put_key(
    name: SystemName, key_id: KeyId, wanted: schemas.KeyIn, control: Controlled, session: Transaction
) -> schemas.KeyOut:
    """Callers sign with its text. It is kept sealed, and shown by no call."""
    return await control.put_key(session, name, key_id, wanted)


@router.delete(
    "/systems/{name}/api-keys/{key_id}", status_code=204, responses=problem_responses(*_PROBLEMS), summary="End a key"
)
async def delete_key(name: SystemName, key_id: KeyId, control: Controlled, session: Transaction) -> None:
    await control.delete_key(session, name, key_id)


@router.put(
    "/systems/{name}/wallets/{wallet_id}",
    responses=problem_responses(*_PROBLEMS, WalletDiffers),
    summary="Open a wallet with its first money",
)
async def open_wallet(
    name: SystemName,
    wallet_id: WalletId,
    wanted: schemas.WalletIn,
    control: Controlled,
    session: Transaction,
) -> schemas.WalletOut:
    return _shown_wallet(await control.open_wallet(session, name, wallet_id, wanted))


@router.patch(
    "/systems/{name}/wallets/{wallet_id}",
    responses=problem_responses(*_PROBLEMS, WalletUnknown),
    summary="Freeze, unfreeze or limit a wallet",
)
async def change_wallet(
    name: SystemName,
    wallet_id: WalletId,
    wanted: schemas.WalletChange,
    control: Controlled,
    session: Transaction,
) -> schemas.WalletOut:
    return _shown_wallet(await control.change_wallet(session, name, wallet_id, wanted))


@router.get("/systems/{name}/wallets", responses=problem_responses(*_PROBLEMS), summary="List the wallets")
async def list_wallets(
    name: SystemName, control: Controlled, session: Transaction
) -> dict[str, list[schemas.WalletOut]]:
    system = await control.find_system(session, name)
    return {"data": [_shown_wallet(wallet) for wallet in await control.wallets_of(session, system.id)]}


@router.post(
    "/systems/{name}/own-transactions",
    responses=problem_responses(*_PROBLEMS, FaultsOff, WalletUnknown),
    summary="Move money that nobody asked for",
)
async def own_transaction(
    name: SystemName, wanted: schemas.OwnTransactionIn, control: Controlled, session: Transaction
) -> dict[str, object]:
    return answer_of(await control.own_transaction(session, name, wanted))


@router.post(
    "/systems/{name}/restore", responses=problem_responses(*_PROBLEMS, FaultsOff), summary="Restore an old backup"
)
async def restore(
    name: SystemName, wanted: schemas.RestoreIn, control: Controlled, session: Transaction
) -> schemas.SystemOut:
    """Balances, transfers and feed are what they were after change `seq`."""
    return await _shown(control, session, await control.restore(session, name, wanted.seq))


@router.post(
    "/systems/{name}/faults",
    status_code=201,
    responses=problem_responses(*_PROBLEMS, FaultsOff),
    summary="Let calls go wrong",
)
async def add_fault(name: SystemName, rule: FaultRule, control: Controlled, session: Transaction) -> schemas.FaultOut:
    armed = await control.arm(session, name, rule)
    return schemas.FaultOut(rule=armed.rule, fired=armed.fired)


@router.get("/systems/{name}/faults", responses=problem_responses(*_PROBLEMS), summary="List the faults")
async def list_faults(name: SystemName, control: Controlled, session: Transaction) -> dict[str, list[schemas.FaultOut]]:
    system = await control.find_system(session, name)
    armed = control.faults.of_system(system.id)
    return {"data": [schemas.FaultOut(rule=each.rule, fired=each.fired) for each in armed]}


@router.delete(
    "/systems/{name}/faults",
    status_code=204,
    responses=problem_responses(*_PROBLEMS, FaultsOff),
    summary="Let nothing go wrong any more",
)
async def delete_faults(name: SystemName, control: Controlled, session: Transaction) -> None:
    await control.disarm(session, name)


@router.put(
    "/clock",
    status_code=204,
    responses=problem_responses(ControlTokenRequired, FaultsOff),
    summary="Set the clock wrong",
)
async def put_clock(wanted: schemas.ClockIn, control: Controlled) -> None:
    control.set_clock(wanted.skew_seconds)


async def _shown(control: Control, session: Transaction, system: System) -> schemas.SystemOut:
    wallets = await control.wallets_of(session, system.id)
    totals = []
    for currency in sorted({wallet.currency for wallet in wallets}):
        of_currency = [wallet for wallet in wallets if wallet.currency == currency]
        scale = of_currency[0].scale
        ledger = shown_amount(sum((wallet.ledger for wallet in of_currency), start=_ZERO), scale)
        held = shown_amount(sum((wallet.held for wallet in of_currency), start=_ZERO), scale)
        totals.append(schemas.TotalOut(currency=currency, ledger=ledger, held=held))
    return schemas.SystemOut(
        name=system.name,
        holds=system.holds,
        hold_seconds=system.hold_seconds,
        latest_seq=system.latest_seq,
        totals=totals,
    )


def _shown_wallet(wallet: Balance) -> schemas.WalletOut:
    return schemas.WalletOut(
        wallet_id=wallet.wallet_id,
        owner_ref=wallet.owner_ref,
        currency=wallet.currency,
        ledger=shown_amount(wallet.ledger, wallet.scale),
        available=shown_amount(wallet.ledger - wallet.held, wallet.scale),
        held=shown_amount(wallet.held, wallet.scale),
        frozen=wallet.frozen,
    )
