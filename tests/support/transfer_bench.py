"""Transfers for tests: the gateway's API, engines of a worker in this process, and reference wallets behind real sockets.

Everything is real but the question to credentials' socket; ``Bench.check`` says whether any money was lost or doubled.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import httpx2
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.access import Realm
from support.crashing_client import CrashingClient, Moment
from support.credentials_service import credentials_service
from support.credentials_service import settings_for as credentials_settings_for
from support.databases import Databases
from support.engine import WAIT_SECONDS, until
from support.gateway_service import GatewayService, Tenant, gateway_service, settings_for
from support.reference_wallet import ReferenceWallet, WalletSystem, reference_wallet
from wallet_gateway.protocols.client import WalletClient
from wallet_gateway.resources import open_engine_parts
from wallet_gateway.transfers.engine import Engine
from wallet_gateway.transfers.resolution import Policy

OWNER = "client-1"
STARTING_BALANCE = "100.00"
QUICK = Policy(retry_seconds=(0.05, 0.1, 0.2), resolver_seconds=(0.1, 0.2, 0.4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A wallet as the gateway knows it, with the system behind it. Its account is ``w1`` of ``OWNER``."""

    wallet: str
    id: UUID
    system: WalletSystem

    def side(self, account: str = "w1") -> dict[str, str]:
        """Return the side of a transfer."""
        return {"wallet": self.wallet, "account": account}

    async def available(self) -> Decimal:
        """Return what can be spent of the account."""
        return Decimal((await self.system.caller.balance())["available"])

    async def ledger(self) -> Decimal:
        """Return what is in the account."""
        return Decimal((await self.system.caller.balance())["ledger"])


@dataclass(slots=True, kw_only=True)
class Bench:
    """One tenant with the wallets that a test connects."""

    service: GatewayService
    tenant: Tenant
    reference: ReferenceWallet
    places: list[Place] = field(default_factory=list)
    checks: bool = True
    """False where a wallet takes part that keeps no books to compare."""

    async def connect(
        self,
        *,
        home: bool = False,
        step_seconds: int = 30,
        balance: str = STARTING_BALANCE,
        system: Any = None,
        **fields: Any,
    ) -> Place:
        """Make a wallet system with an account, and register it; ``system``: what it can do."""
        made = await self.reference.new_system(**(system or {}))
        await made.open_wallet(owner_ref=OWNER, balance=balance)
        wanted = {"base_url": self.reference.url, "response_signatures": "required", **fields}
        registered = await (self.tenant.new_home if home else self.tenant.new_wallet)(**wanted)
        wallet_id = typeids.decode("ew", registered["id"])
        await self.service.rows(
            "UPDATE external_wallets SET step_seconds = :seconds WHERE id = :id", seconds=step_seconds, id=wallet_id
        )
        place = Place(wallet="home" if home else registered["id"], id=wallet_id, system=made)
        await self.register_key(place, registered)
        self.places.append(place)
        return place

    async def register_key(self, place: Place, shown: dict[str, Any]) -> None:
        """Let the wallet take a key that the gateway has shown."""
        path = f"/control/systems/{place.system.name}/api-keys/{shown['api_key_id']}"
        answer = await self.reference.control.put(path, json={"secret": shown["api_key"]})
        assert answer.is_success, answer.text

    async def change(self, place: Place, **fields: Any) -> None:
        """Change an external wallet's settings."""
        answer = await self.tenant.owner.patch(f"/v1/external-wallets/{place.wallet}", json=fields)
        assert answer.status_code == 200, answer.text

    async def freeze(self, place: Place) -> None:
        """Do what a reconciliation does that finds a feed going backwards."""
        await self.service.rows(
            "UPDATE external_wallets SET frozen = true, frozen_reason = 'feed_regressed', frozen_at = now() WHERE id = :id",
            id=place.id,
        )

    @property
    def realm(self) -> Realm:
        """Return the tenant's live realm."""
        return Realm(tenant_id=typeids.decode("ten", self.tenant.id), environment="live")

    def id_of(self, place: Place) -> str:
        """Return a wallet's id, home's too."""
        return typeids.encode("ew", place.id)

    def of(self, tenant: Tenant) -> "Bench":
        """Return the bench of another tenant."""
        return replace(self, tenant=tenant, places=[])

    async def skew(self, seconds: float) -> None:
        """Set the wallets' clock wrong."""
        answer = await self.reference.control.put("/control/clock", json={"skew_seconds": seconds})
        assert answer.is_success, answer.text

    async def age(self, transfer_id: str, *, hours: int) -> None:
        """Let so much time have passed since the step under way began."""
        await self.service.rows(
            "UPDATE transfer_steps SET begun_at = begun_at - make_interval(hours => :hours)"
            " WHERE transfer_id = :id AND outcome IS NULL",
            hours=hours,
            id=typeids.decode("tr", transfer_id),
        )
        await self.service.rows(
            "UPDATE transfers SET fence = fence + 1, worker_id = NULL, due_at = now() WHERE id = :id",
            id=typeids.decode("tr", transfer_id),
        )

    async def attempted(self, transfer_id: str, call: tuple[str, str, str | None]) -> None:
        """Wait until a call (kind, call, outcome) is in the timeline."""

        async def is_there() -> bool:
            return call in self.attempts(await self.shown(transfer_id))

        await until(is_there, what=f"{call} of {transfer_id}")

    async def post(
        self, source: Place, target: Place, /, *, key: str | None = None, wait_ms: int = 0, **fields: Any
    ) -> httpx2.Response:
        """Ask for a transfer of 10.00 USD, but for the fields given."""
        body = {
            "owner_ref": OWNER,
            "source": source.side(),
            "target": target.side(),
            "amount": "10.00",
            "currency": "USD",
        }
        return await self.tenant.owner.post(
            "/v1/transfers",
            params={"wait_ms": wait_ms} if wait_ms else {},
            json={**body, **fields},
            headers={"idempotency-key": key or secrets.token_hex(8)},
        )

    async def begin(self, source: Place, target: Place, /, **fields: Any) -> str:
        """Begin a transfer and return its id."""
        answer = await self.post(source, target, **fields)
        assert answer.status_code == 201, answer.text
        begun: str = answer.json()["id"]
        return begun

    async def shown(self, transfer_id: str) -> dict[str, Any]:
        """Return a transfer with its timeline."""
        answer = await self.tenant.owner.get(f"/v1/transfers/{transfer_id}")
        assert answer.status_code == 200, answer.text
        transfer: dict[str, Any] = answer.json()
        return transfer

    async def ended(self, transfer_id: str, *, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return a transfer once it is no longer pending."""

        async def is_ended() -> bool:
            return bool((await self.shown(transfer_id))["status"] != "pending")

        await until(is_ended, what=f"{transfer_id} has ended", seconds=seconds)
        return await self.shown(transfer_id)

    async def resolve(self, transfer_id: str, decision: str) -> dict[str, Any]:
        """Decide about a transfer under review, and return it once it is no longer pending."""
        body = {"decision": decision, "evidence": "seen in the wallet's own ledger"}
        answer = await self.tenant.owner.post(f"/v1/transfers/{transfer_id}/resolve", json=body)
        assert answer.status_code == 200, answer.text
        return await self.ended(transfer_id)

    async def step_of(self, transfer_id: str, kind: str) -> None:
        """Wait until a step has begun."""

        async def has_begun() -> bool:
            return any(step["kind"] == kind for step in (await self.shown(transfer_id))["steps"])

        await until(has_begun, what=f"the {kind} of {transfer_id} has begun")

    async def move(self, source: Place, target: Place, /, **fields: Any) -> dict[str, Any]:
        """Begin a transfer and return it once it is no longer pending."""
        return await self.ended(await self.begin(source, target, **fields))

    async def check(self) -> None:
        """Fail unless all the money is there, every status tells the truth, and the journal agrees with the wallets."""
        if not self.checks:
            return
        total = sum([await place.ledger() for place in self.places], Decimal(0))
        (clearing,) = await self.service.rows(
            "SELECT coalesce(sum(amount), 0) AS amount FROM journal_entries WHERE account = 'clearing'"
            " AND tenant_id = :tenant",
            tenant=typeids.decode("ten", self.tenant.id),
        )
        assert total + clearing.amount == Decimal(STARTING_BALANCE) * len(self.places)
        for place in self.places:
            assert await place.available() >= 0
            (entries,) = await self.service.rows(
                "SELECT coalesce(sum(amount), 0) AS amount FROM journal_entries"
                " WHERE account = 'wallet' AND wallet_id = :id",
                id=place.id,
            )
            assert await place.ledger() == Decimal(STARTING_BALANCE) + entries.amount

    def attempts(self, transfer: dict[str, Any]) -> list[tuple[str, str, str | None]]:
        """Return kind, call and outcome of every call, in order."""
        return [
            (step["kind"], attempt["call"], attempt["outcome"])
            for step in transfer["steps"]
            for attempt in step["attempts"]
        ]


@asynccontextmanager
async def running_service(databases: Databases, queue_url: str, **changes: Any) -> AsyncIterator[GatewayService]:
    """Start the gateway's API with a queue, and credentials, on fresh databases."""
    async with (
        databases.temporary("credentials") as credentials_url,
        databases.temporary("wallet_gateway") as url,
        credentials_service(credentials_settings_for(credentials_url)) as credentials,
        gateway_service(settings_for(url, queue_url=queue_url, **changes), credentials) as running,
    ):
        yield running


@asynccontextmanager
async def running_engine(service: GatewayService, *, policy: Policy = QUICK, **changes: Any) -> AsyncIterator[Engine]:
    """Run a worker's engine in this process; stop it in order when the block ends, and fail if it ended by itself."""
    settings = service.resources.settings.model_copy(update=changes)
    async with open_engine_parts(settings, CollectorRegistry()) as parts:
        engine = Engine(replace(parts, worker_name=f"engine-{secrets.token_hex(3)}"), policy=policy)
        running = asyncio.create_task(engine.run())
        try:
            yield engine
            assert not running.done(), running.exception()
        finally:
            if not running.done():
                async with asyncio.timeout(20):
                    await engine.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def crashing_engine(service: GatewayService, *, at: int, moment: Moment) -> AsyncIterator[CrashingClient]:
    """Run an engine that goes down at a call, without a word, and is dropped when the block ends; its lease runs out soon."""
    settings = service.resources.settings.model_copy(update={"transfer_lease_seconds": 2.0})
    async with open_engine_parts(settings, CollectorRegistry()) as parts:
        client = CrashingClient(inner=parts.wallets.client, at=at, moment=moment)
        wallets = replace(parts.wallets, client=cast("WalletClient", client))
        engine = Engine(replace(parts, wallets=wallets, worker_name="crashing"), policy=QUICK)
        running = asyncio.create_task(engine.run())
        try:
            yield client
        finally:
            # No stop: it writes nothing, gives nothing up, and its calls end nowhere.
            for task in [*engine.running_tasks(), running]:
                task.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def transfer_bench(databases: Databases, queue_url: str, *, engine: bool = True) -> AsyncIterator[Bench]:
    """Start everything on fresh databases; without ``engine`` the test runs its own."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(databases, queue_url))
        reference = await stack.enter_async_context(reference_wallet(databases))
        if engine:
            await stack.enter_async_context(running_engine(service))
        yield Bench(service=service, tenant=await service.new_tenant(), reference=reference)
