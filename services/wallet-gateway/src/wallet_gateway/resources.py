"""Everything of the wallet gateway that has a lifetime; opened by the API and the worker."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.access import AccessClient, Verifier
from shared.database import Database
from shared.egress import AddressPolicy, EgressClient
from shared.publisher import HttpPublisher
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
from wallet_gateway.outbox.publisher import OutboxPublisher
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.reconciliation import repository as reconciliation_repository
from wallet_gateway.settings import Settings
from wallet_gateway.transfers.beginnings import Beginnings
from wallet_gateway.transfers.engine import EngineParts
from wallet_gateway.transfers.review import Review
from wallet_gateway.transfers.service import Transfers
from wallet_gateway.transfers.waiting import Ends
from wallet_gateway.transfers.wake_up import BEGUN, Hints

_LISTEN_TIMEOUT_SECONDS = 10.0
_ENGINE_CONNECTIONS = 3


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
    transfers: Transfers
    review: Review

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the readiness checks; not the queue, which carries hints only and stops no request."""
        return {"database": self.database.check, "credentials": self.access_check}


async def gateway_resources(request: Request) -> GatewayResources:
    """Give a route its resources. Asynchronous, since FastAPI runs other dependencies in a thread, each time."""
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
        external_wallets = ExternalWallets(
            endpoints=wallets.endpoints, policy=wallets.policy, feeds=reconciliation_repository
        )
        ends = await stack.enter_async_context(_followed_ends(settings, database))
        review_after = timedelta(seconds=settings.transfer_review_after_seconds)
        begun = Hints(queue, BEGUN)
        stack.push_async_callback(begun.settle)
        begin_database = Database.open(
            settings.database_url, application_name="wallet-gateway-begin", pool_size=1, plan_once=True
        )
        stack.push_async_callback(begin_database.aclose)
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
            connection_tests=ConnectionTests(database=database, wallets=wallets, review_after=review_after),
            balances=Balances(database=database, reader=reader, deadline_seconds=settings.balances_deadline_seconds),
            transfers=Transfers(
                database=database,
                beginnings=Beginnings(begin_database),
                isolation=wallets.isolation,
                begun=begun,
                ends=ends,
                review_after=review_after,
            ),
            review=Review(review_after=review_after),
        )


@asynccontextmanager
async def _followed_ends(settings: Settings, database: Database) -> AsyncIterator[Ends]:
    """Follow the ends of transfers, over a connection of its own: a subscription holds one."""
    queue = open_queue(settings.queue_url, socket_timeout_seconds=_LISTEN_TIMEOUT_SECONDS)
    ends = Ends(database, queue)
    following = asyncio.create_task(ends.run(), name="ends of transfers")
    try:
        yield ends
    finally:
        following.cancel()
        await asyncio.wait([following])
        await queue.aclose()


@asynccontextmanager
async def open_engine_parts(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[EngineParts]:
    """Open what the worker needs; raises KeyringMalformedError for sealing keys that are missing or malformed."""
    async with AsyncExitStack() as stack:
        database = Database.open(
            settings.database_url, application_name="wallet-gateway-worker", pool_size=settings.database_pool_size
        )
        stack.push_async_callback(database.aclose)
        # Claims, records, the lease and the outbox never wait for a connection behind anything else: without them nothing ends.
        engine_database = Database.open(
            settings.database_url,
            application_name="wallet-gateway-engine",
            pool_size=_ENGINE_CONNECTIONS,
            plan_once=True,
        )
        stack.push_async_callback(engine_database.aclose)
        queue = open_queue(settings.queue_url)
        stack.push_async_callback(queue.aclose)
        listen_queue = open_queue(settings.queue_url, socket_timeout_seconds=_LISTEN_TIMEOUT_SECONDS)
        stack.push_async_callback(listen_queue.aclose)
        notices = BreakerNotices(database)
        stack.push_async_callback(notices.settle)
        wallets = await stack.enter_async_context(open_wallet_access(settings, notices))
        publisher = HttpPublisher.open(settings.dispatcher_url, settings.publisher_key)
        stack.push_async_callback(publisher.aclose)
        yield EngineParts(
            settings=settings,
            registry=registry,
            worker_name=f"{socket.gethostname()}-{os.getpid()}",
            database=database,
            engine_database=engine_database,
            queue=queue,
            listen_queue=listen_queue,
            wallets=wallets,
            discovery=Discovery(database=database, wallets=wallets),
            outbox=OutboxPublisher(engine_database, publisher, registry),
        )
