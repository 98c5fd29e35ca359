"""Everything of the dispatcher that has a lifetime, opened by its API and its worker alike."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import AccessClient, Verifier
from shared.app_factory import Check
from shared.database import Database
from shared.egress import AddressPolicy, EgressClient
from shared.queue import open_queue
from shared.sealing import SealingKeyring
from webhook_dispatcher.events.byte_budget import ByteBudget
from webhook_dispatcher.events.event import BATCH_BYTES_MAX
from webhook_dispatcher.events.service import EventAcceptance
from webhook_dispatcher.lanes.wake_up import WakeUps
from webhook_dispatcher.maintenance.partitions import Partitions
from webhook_dispatcher.retention.service import Retention, RetentionSettings
from webhook_dispatcher.settings import Settings
from webhook_dispatcher.tracing import Tracing, open_tracing
from webhook_dispatcher.webhooks.service import Webhooks

_READ_SOCKET_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResources:
    """What the routes use."""

    database: Database
    queue: Redis
    access: Verifier
    access_check: Check
    webhooks: Webhooks
    acceptance: EventAcceptance
    publish_budget: ByteBudget
    wake_ups: WakeUps

    def checks(self) -> Mapping[str, Check]:
        """Return the readiness checks. Valkey is not among them: without it events over HTTP are accepted all the same."""
        return {"database": self.database.check, "credentials": self.access_check}

    def wake_after_commit(self, session: AsyncSession, webhooks: Sequence[UUID]) -> None:
        """Wake the workers for these webhooks once the session's transaction is committed."""
        event.listen(
            session.sync_session, "after_commit", lambda _session: self.wake_ups.publish_soon(webhooks), once=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources:
    """What the engine uses."""

    settings: Settings
    registry: CollectorRegistry
    worker_name: str
    database: Database
    intake_queue: Redis
    listen_queue: Redis
    hint_queue: Redis
    keyring: SealingKeyring
    egress: EgressClient
    partitions: Partitions
    retention: Retention
    acceptance: EventAcceptance
    wake_ups: WakeUps
    tracing: Tracing


async def api_resources(request: Request) -> ApiResources:
    """Give a route its resources. Async, since FastAPI runs a plain function in a thread."""
    resources: ApiResources = request.app.state.resources
    return resources


@asynccontextmanager
async def open_api_resources(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[ApiResources]:
    """Open what the API needs, and follow the revocation feed.

    Raises KeyringMalformedError for sealing keys that are missing or malformed.
    """
    async with AsyncExitStack() as stack:
        keyring = SealingKeyring.from_text(settings.sealing_keys)
        database = Database.open(
            settings.database_url, application_name="webhook-dispatcher-api", pool_size=settings.database_pool_size
        )
        stack.push_async_callback(database.aclose)
        intake_database = Database.open(
            settings.database_url,
            application_name="webhook-dispatcher-publish",
            pool_size=settings.database_pool_size,
            plan_once=True,
        )
        stack.push_async_callback(intake_database.aclose)
        queue = open_queue(settings.queue_url)
        stack.push_async_callback(queue.aclose)
        tracing = _open_tracing(stack, settings, service="webhook-dispatcher-api")
        access = AccessClient.open(
            settings.credentials_url,
            settings.service_key,
            issuer=settings.issuer,
            service="webhook-dispatcher",
            grace_seconds=settings.access_grace_seconds,
            guesses_per_minute=settings.guesses_per_minute,
        )
        stack.push_async_callback(access.aclose)
        access.start_following(registry)
        yield ApiResources(
            database=database,
            queue=queue,
            access=access,
            access_check=access.check,
            webhooks=Webhooks(keyring=keyring, policy=AddressPolicy(settings.egress_allow_cidrs)),
            acceptance=EventAcceptance(intake_database, tracing),
            publish_budget=ByteBudget(settings.publish_bytes_in_flight, body_bytes_max=BATCH_BYTES_MAX),
            wake_ups=WakeUps(queue),
        )


@asynccontextmanager
async def open_worker_resources(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[WorkerResources]:
    """Open what the worker needs; raises KeyringMalformedError for sealing keys that are missing or malformed."""
    async with AsyncExitStack() as stack:
        keyring = SealingKeyring.from_text(settings.sealing_keys)
        database = Database.open(
            settings.database_url,
            application_name="webhook-dispatcher-worker",
            pool_size=settings.database_pool_size,
            plan_once=True,
        )
        stack.push_async_callback(database.aclose)
        # A blocking read and a subscription each hold a connection of their own, so hints never queue behind them.
        queues = [open_queue(settings.queue_url, socket_timeout_seconds=_READ_SOCKET_TIMEOUT_SECONDS) for _ in range(3)]
        for queue in queues:
            stack.push_async_callback(queue.aclose)
        tracing = _open_tracing(stack, settings, service="webhook-dispatcher-worker")
        egress = await EgressClient.open(AddressPolicy(settings.egress_allow_cidrs), connections_max=settings.slots * 2)
        stack.push_async_callback(egress.aclose)
        yield WorkerResources(
            settings=settings,
            registry=registry,
            worker_name=f"{socket.gethostname()}-{os.getpid()}",
            database=database,
            intake_queue=queues[0],
            listen_queue=queues[1],
            hint_queue=queues[2],
            keyring=keyring,
            egress=egress,
            partitions=Partitions(database, registry),
            retention=Retention(
                database,
                RetentionSettings(
                    history_days=settings.retention_days,
                    rejected_event_days=settings.rejected_event_days,
                    first_match_days=settings.first_match_days,
                ),
                registry,
            ),
            acceptance=EventAcceptance(database, tracing),
            tracing=tracing,
            wake_ups=WakeUps(queues[2]),
        )


def _open_tracing(stack: AsyncExitStack, settings: Settings, *, service: str) -> Tracing:
    tracing = open_tracing(service=service, url=settings.traces_url, share=settings.traces_share)
    # It sends what is left, which takes as long as the collector does: not in the event loop.
    stack.push_async_callback(asyncio.to_thread, tracing.close)
    return tracing
