"""The dispatcher's API for tests: a fresh database, real credentials in memory, tenants with keys. No worker runs.

What a worker would do to a delivery, ``finish`` and its siblings write down instead.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from shared import typeids
from support.credentials_service import CredentialsService, credentials_service
from support.credentials_service import settings_for as credentials_settings_for
from support.databases import Databases
from support.sibling_service import NOBODY_LISTENS, SiblingService, new_sealing_keys, started
from webhook_dispatcher.app import create_app
from webhook_dispatcher.resources import ApiResources
from webhook_dispatcher.settings import Settings

URL = "https://hooks.example.com/causeway"


def settings_for(database_url: str, *, queue_url: str = NOBODY_LISTENS) -> Settings:
    """Return production settings (no address is opened) with a sealing key of this run. Publishing needs no queue server."""
    return Settings(database_url=database_url, queue_url=queue_url, sealing_keys=new_sealing_keys(), log_level="error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant with clients of the dispatcher: every scope in ``live``, and in ``test``; publishing by a service key."""

    id: str
    owner: httpx2.AsyncClient
    tester: httpx2.AsyncClient
    publisher: httpx2.AsyncClient

    async def new_webhook(self, *, client: httpx2.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        """Register a webhook and return the answer."""
        wanted = {"name": "Payouts", "url": URL, "events": ["*"], **fields}
        answer = await (client or self.owner).post("/v1/webhooks", json=wanted)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def publish(self, *events: dict[str, Any], client: httpx2.AsyncClient | None = None) -> dict[str, Any]:
        """Publish a batch and return the answer."""
        answer = await (client or self.publisher).post("/v1/events", json={"events": list(events)})
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def deliveries(self, *, client: httpx2.AsyncClient | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Return up to 200 deliveries, newest first."""
        answer = await (client or self.owner).get("/v1/deliveries", params={"limit": 200, **filters})
        assert answer.status_code == 200, answer.text
        shown: list[dict[str, Any]] = answer.json()["data"]
        return shown

    async def ledger(self, **filters: Any) -> dict[str, Any]:
        """Return the ledger."""
        answer = await self.owner.get("/v1/ledger", params=filters)
        assert answer.status_code == 200, answer.text
        counts: dict[str, Any] = answer.json()
        return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherService(SiblingService):
    """A running API process of the dispatcher, called through memory."""

    publisher_key: str

    @property
    def resources(self) -> ApiResources:
        """Return what the application opened."""
        opened: ApiResources = self.app.state.resources
        return opened

    async def new_tenant(self, name: str = "Example Broker") -> Tenant:
        """Make a tenant with its clients."""
        tenant_id = await self.credentials.new_tenant(name)
        return Tenant(
            id=tenant_id,
            owner=await self.client_with(tenant_id, roles=["owner"]),
            tester=await self.client_with(tenant_id, roles=["owner"], environment="test"),
            publisher=self.client(self.publisher_key, x_tenant_id=tenant_id),
        )

    async def put_in_flight(self, delivery_id: str) -> None:
        """Do what a worker's claim does."""
        await self.rows(
            "UPDATE deliveries SET status = 'in_flight', fence = 1, attempts = attempts + 1 WHERE id = :id",
            id=typeids.decode("dlv", delivery_id),
        )

    async def finish(self, delivery_id: str, *, status: str, response_status: int = 200) -> None:
        """Do what a worker's record does for an attempt that ended the delivery as ``delivered`` or ``failed``."""
        values = {"id": typeids.decode("dlv", delivery_id), "status": status, "response_status": response_status}
        await self.rows(
            """
            WITH ended AS (
                DELETE FROM deliveries WHERE id = :id RETURNING id, webhook_id, event, tenant_id, environment, attempts
            ), noted AS (
                INSERT INTO attempts (delivery_id, number, id, started_at, duration_ms, outcome, url, request_headers,
                    response_status, response_headers, response_body)
                SELECT id, attempts + 1, uuidv7(), now(), 12.5, :status, 'https://hooks.example.com/causeway',
                    '[["webhook-id", "x"]]', CAST(:response_status AS smallint), '[["content-type", "text/plain"]]', 'ok'
                FROM ended
            )
            INSERT INTO delivery_history (id, webhook_id, event, tenant_id, environment, status, attempts, last_status)
            SELECT id, webhook_id, event, tenant_id, environment, :status, attempts + 1, CAST(:response_status AS smallint)
            FROM ended
            """,
            **values,
        )


@asynccontextmanager
async def dispatcher_service(settings: Settings, credentials: CredentialsService) -> AsyncIterator[DispatcherService]:
    """Start an API process in this one, that verifies credentials with ``credentials``."""
    app = create_app(settings)
    publisher = await credentials.new_key(None, kind="service", scopes=["events:publish"])
    async with started(app, credentials):
        yield DispatcherService(app=app, credentials=credentials, publisher_key=publisher["key"])


@asynccontextmanager
async def fresh_dispatcher_service(databases: Databases) -> AsyncIterator[DispatcherService]:
    """Start both services on fresh, migrated databases."""
    async with (
        databases.temporary("credentials") as credentials_url,
        databases.temporary("webhook_dispatcher") as url,
        credentials_service(credentials_settings_for(credentials_url)) as credentials,
        dispatcher_service(settings_for(url), credentials) as running,
    ):
        yield running


def withdrawal(number: int | str = 1, **fields: Any) -> dict[str, Any]:
    """Return an event of a request function; ``number`` names it and its request."""
    return {
        "id": f"wr-{number}",
        "type": "withdrawal.approved.node.1",
        "subject": f"subject-{number}",
        "data": {"id": f"r{number}", "withdrawal_amount": "250.00"},
        **fields,
    }


def payment(number: int | str = 1, **fields: Any) -> dict[str, Any]:
    """Return an event of another function, which always sends every match."""
    return {"id": f"pay-{number}", "type": "payment.succeeded", "data": {"id": f"p{number}"}, **fields}
