"""The credentials service for tests: fresh database, peppers, a platform key, and clients."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from credentials.app import create_app
from credentials.bootstrap.service import register_given
from credentials.resources import Resources, open_resources
from credentials.settings import Settings
from shared import key_format
from support.apps import LOOPBACK, client_of


def settings_for(database_url: str, *, queue_url: str = "redis://127.0.0.1:1/0") -> Settings:
    """Return settings with a pepper and a sealing key of this run."""
    return Settings(
        database_url=database_url,
        queue_url=queue_url,
        peppers=SecretStr(f"p1:{_secret()}"),
        sealing_keys=SecretStr(f"s1:{_secret()}"),
        log_level="error",
    )


def _secret() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsService:
    """A running API process of credentials, called through memory."""

    app: FastAPI
    settings: Settings
    platform_key: str
    service_key: str
    platform: httpx2.AsyncClient

    @property
    def resources(self) -> Resources:
        """Return what the application opened."""
        opened: Resources = self.app.state.resources
        return opened

    def client(
        self, key: str | None = None, *, tenant_id: str | None = None, client_ip: str = LOOPBACK
    ) -> httpx2.AsyncClient:
        """Return a client that calls with ``key``, for a tenant if the key needs one named."""
        headers = {**({"x-api-key": key} if key else {}), **({"x-tenant-id": tenant_id} if tenant_id else {})}
        return client_of(self.app, headers=headers, client_ip=client_ip)

    async def new_tenant(self, name: str = "Example Broker") -> str:
        """Make a tenant and return its id."""
        answer = await self.platform.post("/v1/tenants", json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def new_key(self, tenant_id: str | None, **fields: Any) -> dict[str, Any]:
        """Make a key as the platform and return the answer, with its text under ``key``."""
        wanted = {"name": "test", "kind": "secret", "environment": "live", "scopes": [], **fields}
        headers = {"x-tenant-id": tenant_id} if tenant_id else {}
        answer = await self.platform.post("/v1/api-keys", json=wanted, headers=headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def new_owner(self, tenant_id: str, *, environment: str = "live") -> httpx2.AsyncClient:
        """Return a client with a new key that holds every scope of the tenant."""
        made = await self.new_key(tenant_id, roles=["owner"], environment=environment)
        return self.client(made["key"])


@asynccontextmanager
async def credentials_service(settings: Settings) -> AsyncIterator[CredentialsService]:
    """Start an API process in this one; its platform key and its siblings' service key are registered."""
    platform_key, service_key = key_format.generate("service", "live"), key_format.generate("service", "live")
    async with open_resources(settings, serves=False) as resources:
        await register_given(resources, name="platform", text=SecretStr(platform_key))
        await register_given(resources, name="siblings", text=SecretStr(service_key))
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        client_of(app, headers={"x-api-key": platform_key}) as platform,
    ):
        yield CredentialsService(
            app=app, settings=settings, platform_key=platform_key, service_key=service_key, platform=platform
        )
