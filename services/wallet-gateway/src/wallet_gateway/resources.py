"""Everything of the wallet gateway that has a lifetime; opened by the API and the worker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.access import AccessClient, Verifier
from shared.database import Database
from shared.egress import AddressPolicy, EgressClient
from shared.queue import open_queue
from shared.sealing import SealingKeyring
from wallet_gateway.balances.cache import BalanceCache
from wallet_gateway.balances.reader import BalanceReader
from wallet_gateway.balances.service import Balances
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.discovery import ConnectionTests, Discovery
from wallet_gateway.external_wallets.sealed_keys import Endpoints
from wallet_gateway.external_wallets.service import ExternalWallets
from wallet_gateway.home_wallet.service import HomeWallet
from wallet_gateway.isolation.gate import Isolation
from wallet_gateway.isolation.limits import lane_limits
from wallet_gateway.isolation.notices import BreakerNotices
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayResources:
    """What requests and jobs use."""

    settings: Settings
    registry: CollectorRegistry
    database: Database
    access: Verifier
    access_check: Callable[[], Awaitable[None]]
    queue: Redis
    wallets: WalletAccess
    notices: BreakerNotices
    discovery: Discovery
    external_wallets: ExternalWallets
    home_wallet: HomeWallet
    connection_tests: ConnectionTests
    balances: Balances

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the readiness checks; not the queue, which carries hints only and stops no request."""
        return {"database": self.database.check, "credentials": self.access_check}


def gateway_resources(request: Request) -> GatewayResources:
    """Give a route its resources."""
    resources: GatewayResources = request.app.state.resources
    return resources


@asynccontextmanager
async def open_wallet_access(settings: Settings, notices: BreakerNotices) -> AsyncIterator[WalletAccess]:
    """Open the way to wallets; raises KeyringMalformedError for sealing keys that are missing or malformed."""
    policy = AddressPolicy(settings.egress_allow_cidrs)
    endpoints = Endpoints(SealingKeyring.from_text(settings.sealing_keys))
    egress = await EgressClient.open(policy, connections_max=settings.wallet_connections)
    try:
        yield WalletAccess(
            client=HttpWalletClient(egress, policy),
            isolation=Isolation(lane_limits(settings), on_change=notices.tell),
            endpoints=endpoints,
            policy=policy,
        )
    finally:
        await egress.aclose()


@asynccontextmanager
async def open_resources(
    settings: Settings, registry: CollectorRegistry, *, serves: bool
) -> AsyncIterator[GatewayResources]:
    """Open everything; with ``serves``, also follow the revocation feed, as each API process does.

    Raises KeyringMalformedError for sealing keys that are missing or malformed.
    """
    async with AsyncExitStack() as stack:
        database = Database.open(
            settings.database_url,
            application_name=f"wallet-gateway-{'api' if serves else 'worker'}",
            pool_size=settings.database_pool_size,
        )
        stack.push_async_callback(database.aclose)
        access = AccessClient.open(
            settings.credentials_url,
            settings.service_key,
            issuer=settings.issuer,
            service="wallet-gateway",
            grace_seconds=settings.access_grace_seconds,
            guesses_per_minute=settings.guesses_per_minute,
        )
        stack.push_async_callback(access.aclose)
        if serves:
            access.start_following(registry)
        queue = open_queue(settings.queue_url)
        stack.push_async_callback(queue.aclose)
        notices = BreakerNotices(database)
        stack.push_async_callback(notices.settle)
        wallets = await stack.enter_async_context(open_wallet_access(settings, notices))
        reader = BalanceReader(wallets, cache=BalanceCache(rows_max=settings.balance_rows_kept))
        stack.push_async_callback(reader.aclose)
        external_wallets = ExternalWallets(endpoints=wallets.endpoints, policy=wallets.policy)
        yield GatewayResources(
            settings=settings,
            registry=registry,
            database=database,
            access=access,
            access_check=access.check,
            queue=queue,
            wallets=wallets,
            notices=notices,
            discovery=Discovery(database=database, wallets=wallets),
            external_wallets=external_wallets,
            home_wallet=HomeWallet(external_wallets),
            connection_tests=ConnectionTests(database=database, wallets=wallets),
            balances=Balances(database=database, reader=reader, deadline_seconds=settings.balances_deadline_seconds),
        )
