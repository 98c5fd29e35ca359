"""Balances for callers: of one wallet, and of one client over all wallets under one deadline. Outside any transaction."""

import asyncio
from typing import Any, Final, Literal
from uuid import UUID

from shared import typeids
from shared.access import Realm
from shared.database import Database
from shared.ewp.messages import WalletBalance
from shared.problems import NotFound
from wallet_gateway.balances import schemas
from wallet_gateway.balances.balance import BalancesRead
from wallet_gateway.balances.faults import DISABLED, fault_shown
from wallet_gateway.balances.reader import BalanceReader
from wallet_gateway.external_wallets import repository
from wallet_gateway.external_wallets.availability import refuse_balances
from wallet_gateway.external_wallets.repository import StoredWallet, Wallet

_GRACE_SECONDS: Final = 0.5
"""The wallet's own limit ends its call; this much later the caller is answered in any case."""


class Balances:
    """Answers the calls about balances."""

    def __init__(self, *, database: Database, reader: BalanceReader, deadline_seconds: float) -> None:
        self._database = database
        self._reader = reader
        self._deadline_seconds = deadline_seconds

    async def of_wallet(self, realm: Realm, wallet_id: UUID, query: schemas.BalanceQueryIn) -> schemas.BalancesOut:
        """Return a client's balances at one wallet; raises NotFound, WalletDisabled."""
        stored = await repository.read_endpoint(self._database, realm=realm, wallet_id=wallet_id)
        refuse_balances(stored.wallet)
        read = await self._reader.read(
            stored,
            owner_ref=query.owner_ref,
            currency=query.currency,
            deadline_seconds=stored.wallet.timeout_seconds + _GRACE_SECONDS,
        )
        errors = [] if read.fault is None else [_fault(read.fault)]
        data = [schemas.BalanceOut(**fields) for fields in _rows(read)]
        return schemas.BalancesOut(data=data, partial=bool(errors), errors=errors)

    async def of_client(self, realm: Realm, owner_ref: str, view: schemas.View) -> schemas.ClientBalancesOut:
        """Ask every wallet of the view at once; raises NotFound where the home wallet alone is meant and there is none."""
        async with self._database.autocommit() as connection:
            wallets = await repository.load_many(
                connection, realm=realm, home=view != "external", external=view != "home"
            )
        if view == "home" and not wallets:
            raise NotFound
        reads = await asyncio.gather(*(self._ask(stored, owner_ref) for stored in wallets))
        answers = list(zip((stored.wallet for stored in wallets), reads, strict=True))
        errors = [
            schemas.WalletFault(**_fault(read.fault).model_dump(), wallet=_name(wallet))
            for wallet, read in answers
            if read.fault is not None
        ]
        return schemas.ClientBalancesOut(
            owner_ref=owner_ref,
            view=view,
            data=[
                schemas.ClientBalanceOut(**fields, wallet=_name(wallet))
                for wallet, read in answers
                for fields in _rows(read)
            ],
            wallets=[_asked(wallet, read) for wallet, read in answers],
            partial=bool(errors),
            errors=errors,
        )

    async def _ask(self, stored: StoredWallet, owner_ref: str) -> BalancesRead:
        if not stored.wallet.enabled:
            return BalancesRead(snapshot=None, source="cache", age_ms=0, fault=DISABLED)
        return await self._reader.read(
            stored, owner_ref=owner_ref, currency=None, deadline_seconds=self._deadline_seconds
        )


def _rows(read: BalancesRead) -> list[dict[str, Any]]:
    if read.snapshot is None:
        return []
    how = {"fetched_at": read.snapshot.fetched_at, "age_ms": read.age_ms, "source": read.source}
    return [{**_fields(balance), **how} for balance in read.snapshot.balances]


def _fields(balance: WalletBalance) -> dict[str, Any]:
    return balance.model_dump(mode="json", exclude={"version"})


def _fault(code: str) -> schemas.BalanceFault:
    shown, detail = fault_shown(code)
    return schemas.BalanceFault(code=shown, detail=detail)


def _asked(wallet: Wallet, read: BalancesRead) -> schemas.AskedWallet:
    return schemas.AskedWallet(
        wallet=_name(wallet),
        id=wallet.id,
        name=wallet.name,
        status=_status(read),
        error_code=None if read.fault is None else fault_shown(read.fault)[0],
    )


def _status(read: BalancesRead) -> Literal["ok", "stale", "incomplete", "unavailable", "disabled"]:
    if read.fault is None:
        return "ok"
    if read.fault == DISABLED:
        return "disabled"
    if read.fault == "more_balances":
        return "incomplete"
    return "unavailable" if read.snapshot is None else "stale"


def _name(wallet: Wallet) -> str:
    return "home" if wallet.is_home else typeids.encode("ew", wallet.id)
