"""The wallet gateway's API for tests: a fresh database, real credentials in memory, tenants with keys. No worker runs.

Wallets are reached over real sockets on loopback, which is opened here and nowhere else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import httpx2

from shared.ewp.signing_keys import HmacKey
from support.credentials_service import CredentialsService, credentials_service
from support.credentials_service import settings_for as credentials_settings_for
from support.databases import Databases
from support.fake_wallet import FakeWallet
from support.sibling_service import NOBODY_LISTENS, SiblingService, new_sealing_keys, started
from support.wallet_server import WalletServer, run_wallet
from wallet_gateway.app import create_app
from wallet_gateway.resources import GatewayResources
from wallet_gateway.settings import Settings

BASE_URL = "https://wallet.example.com/causeway"
LOOPBACK_NETWORK = ip_network("127.0.0.0/8")


def settings_for(database_url: str, **changes: Any) -> Settings:
    """Return settings with a sealing key of this run; loopback is opened to wallets."""
    values = {
        "database_url": database_url,
        "queue_url": NOBODY_LISTENS,
        "sealing_keys": new_sealing_keys(),
        "egress_allow_cidrs": (LOOPBACK_NETWORK,),
        "log_level": "error",
    }
    return Settings(**{**values, **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant with clients of the gateway: every scope in ``live``, and in ``test``."""

    id: str
    owner: httpx2.AsyncClient
    tester: httpx2.AsyncClient

    async def new_wallet(self, *, client: httpx2.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        """Register an external wallet and return the answer."""
        wanted = {"name": "Partner", "base_url": BASE_URL, **fields}
        answer = await (client or self.owner).post("/v1/external-wallets", json=wanted)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def new_home(self, *, client: httpx2.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        """Set the home wallet for the first time and return the answer."""
        answer = await (client or self.owner).put("/v1/home-wallet", json={"base_url": BASE_URL, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    @asynccontextmanager
    async def served_wallet(
        self, wallet: FakeWallet | None = None, *, home: bool = False, **fields: Any
    ) -> AsyncIterator[tuple[dict[str, Any], WalletServer]]:
        """Serve a wallet on loopback, registered with a key that both sides know; gives the registration and the server."""
        async with run_wallet(WalletServer(wallet=wallet or FakeWallet(), keys=[])) as server:
            make = self.new_home if home else self.new_wallet
            made = await make(base_url=server.url, **fields)
            server.keys = [HmacKey(made["api_key_id"], made["api_key"].encode())]
            yield made, server


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayService(SiblingService):
    """A running API process of the gateway, called through memory."""

    @property
    def resources(self) -> GatewayResources:
        """Return what the application opened."""
        opened: GatewayResources = self.app.state.resources
        return opened

    async def new_tenant(self, name: str = "Example Broker") -> Tenant:
        """Make a tenant with its clients."""
        tenant_id = await self.credentials.new_tenant(name)
        return Tenant(
            id=tenant_id,
            owner=await self.client_with(tenant_id, roles=["owner"]),
            tester=await self.client_with(tenant_id, roles=["owner"], environment="test"),
        )

    async def audit(self, action: str) -> list[dict[str, Any]]:
        """Return ``changes`` of every entry with this action, oldest first."""
        rows = await self.rows("SELECT changes FROM audit_entries WHERE action = :action ORDER BY id", action=action)
        return [row.changes for row in rows]


@asynccontextmanager
async def gateway_service(settings: Settings, credentials: CredentialsService) -> AsyncIterator[GatewayService]:
    """Start an API process in this one, that verifies credentials with ``credentials``."""
    app = create_app(settings)
    async with started(app, credentials):
        yield GatewayService(app=app, credentials=credentials)


@asynccontextmanager
async def fresh_gateway_service(databases: Databases, **changes: Any) -> AsyncIterator[GatewayService]:
    """Start both services on fresh, migrated databases; ``changes`` are settings."""
    async with (
        databases.temporary("credentials") as credentials_url,
        databases.temporary("wallet_gateway") as url,
        credentials_service(credentials_settings_for(credentials_url)) as credentials,
        gateway_service(settings_for(url, **changes), credentials) as running,
    ):
        yield running
