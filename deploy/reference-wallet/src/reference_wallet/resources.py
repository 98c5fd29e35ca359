"""Everything of the reference wallet that has a lifetime."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from fastapi import Request

from reference_wallet.clock import WalletClock
from reference_wallet.faults import repository as fault_repository
from reference_wallet.faults.rule import FaultPlan
from reference_wallet.faults.strike import Later, Replays
from reference_wallet.settings import Settings
from reference_wallet.signed_calls.callers import Callers
from reference_wallet.signed_calls.used_nonces import UsedNonces
from reference_wallet.systems import repository as system_repository
from reference_wallet.systems.service import Control
from reference_wallet.transfers.ledger import Ledger
from reference_wallet.transfers.rules import WalletRules
from reference_wallet.transfers.service import Transfers
from reference_wallet.wallets.service import Balances
from shared.database import Database
from shared.sealing import SealingKeyring

_EXPIRY_SECONDS = 0.5
_NONCE_SWEEP_TICKS = 120

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What requests use."""

    settings: Settings
    database: Database
    clock: WalletClock
    callers: Callers
    transfers: Transfers
    balances: Balances
    control: Control
    faults: FaultPlan
    replays: Replays
    later: Later

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the readiness checks."""
        return {"database": self.database.check}


def resources_of(request: Request) -> Resources:
    """Return what was opened for this application."""
    resources: Resources = request.app.state.resources
    return resources


async def opened_resources(request: Request) -> Resources:
    """Give a route what was opened. Asynchronous, since FastAPI runs other dependencies in a thread, each time."""
    return resources_of(request)


@asynccontextmanager
async def open_resources(settings: Settings, rules: WalletRules) -> AsyncIterator[Resources]:
    """Open everything, and end holds whose time is up until it is closed."""
    keyring = SealingKeyring.from_text(settings.sealing_keys)
    database = Database.open(
        settings.database_url,
        application_name="reference-wallet",
        pool_size=settings.database_pool_size,
        # A dead connection costs one call, which its caller repeats; asking before each call whether it lives costs them all.
        plan_once=True,
    )
    clock, faults = WalletClock(), FaultPlan()
    ledger = Ledger(database=database, rules=rules, clock=clock)
    transfers = Transfers(database=database, ledger=ledger, rules=rules, clock=clock)
    callers = Callers(database=database, keyring=keyring, clock=clock, nonces=UsedNonces(database))
    resources = Resources(
        settings=settings,
        database=database,
        clock=clock,
        callers=callers,
        transfers=transfers,
        balances=Balances(database=database, transfers=transfers, clock=clock),
        control=Control(
            settings=settings, keyring=keyring, transfers=transfers, faults=faults, clock=clock, changed=callers.forget
        ),
        faults=faults,
        replays=Replays(),
        later=Later(),
    )
    if settings.wallet_faults:
        async with database.autocommit() as connection:
            for armed in await fault_repository.all_rules(connection):
                faults.arm(armed)
    housekeeping = asyncio.create_task(_keep_house(resources), name="end holds and forget nonces")
    try:
        yield resources
    finally:
        housekeeping.cancel()
        with suppress(asyncio.CancelledError):
            await housekeeping
        await resources.later.aclose()
        await ledger.aclose()
        await database.aclose()


async def _keep_house(resources: Resources) -> None:
    tick = 0
    while True:
        try:
            await resources.transfers.expire_due()
            if tick % _NONCE_SWEEP_TICKS == 0:
                async with resources.database.autocommit() as connection:
                    await system_repository.forget_nonces(connection, before=resources.clock())
        except Exception:
            # The database away, usually: reads and commits of a hold look at its time themselves.
            log.exception("housekeeping.failed")
        tick += 1
        await asyncio.sleep(_EXPIRY_SECONDS)
