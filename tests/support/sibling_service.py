"""An API process of a sibling of credentials for tests, called through memory; credentials runs in memory as well."""

import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import CursorResult, text

from shared.access import AccessClient
from support.apps import LOOPBACK, client_of
from support.credentials_service import CredentialsService

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def new_sealing_keys() -> SecretStr:
    """Return the setting with a sealing key of this run."""
    return SecretStr(f"s1:{base64.b64encode(os.urandom(32)).decode()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiblingService:
    """A running API process of a service that asks credentials."""

    app: FastAPI
    credentials: CredentialsService

    def client(self, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """Return a client that calls with ``key``; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client_of(self.app, headers={**({"x-api-key": key} if key else {}), **named}, client_ip=LOOPBACK)

    async def client_with(self, tenant_id: str, **key: Any) -> httpx2.AsyncClient:
        """Return a client with a new key of the tenant; ``key``: ``scopes``, ``roles``, ``environment`` and the like."""
        return self.client((await self.credentials.new_key(tenant_id, **key))["key"])

    async def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """Run one statement in a transaction of its own; returns its rows."""
        async with self.app.state.resources.database.transaction() as session:
            result = await session.execute(text(statement), values)
            return result.all() if isinstance(result, CursorResult) and result.returns_rows else []


@asynccontextmanager
async def started(app: FastAPI, credentials: CredentialsService) -> AsyncIterator[None]:
    """Start an application that verifies credentials with ``credentials``.

    The revocation feed is not followed: each request asks, and a test sees a changed key at once.
    """
    asking, following = (
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(credentials.app),
            base_url="http://credentials.test",
            headers={"authorization": f"Bearer {credentials.service_key}"},
        )
        for _ in range(2)
    )
    async with app.router.lifespan_context(app), asking, following:
        access = AccessClient(asking, following)
        app.state.resources = replace(app.state.resources, access=access, access_check=access.check)
        yield
