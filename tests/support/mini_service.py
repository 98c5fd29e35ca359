"""A small service on the shared foundation, for tests of the foundation itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from shared import key_format
from shared.access import AccessUnavailableError, Address, Caller, Principal, require
from shared.app_factory import Check, create_service_app
from shared.database import Database, Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.idempotency.repository import EXPIRY_DDL, TABLE_DDL
from shared.principals import Refusal
from shared.request_body import StrictRoute
from shared.settings import ServiceSettings
from shared.typeids import new_id

SECRET = "canary-secret-in-an-answer"


@dataclass
class FakeVerifier:
    """Knows the credentials it was given; ``available`` False is credentials being away."""

    principals: dict[str, Principal] = field(default_factory=dict)
    available: bool = True
    refusals: list[str] = field(default_factory=list)
    """Why requests of good credentials were refused."""

    def new(self, *scopes: str, tenant: bool = True) -> str:
        """Return a new key of a new tenant with these scopes."""
        text_ = key_format.generate("secret" if tenant else "service", "live")
        self.principals[text_] = Principal(
            credential_id=f"key_{len(self.principals)}",
            kind="secret" if tenant else "service",
            name="test",
            tenant_id=new_id() if tenant else None,
            environment="live",
            scopes=frozenset(scopes),
        )
        return text_

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:  # noqa: ARG002 - the port's form
        """Return who it is."""
        if not self.available:
            raise AccessUnavailableError
        return self.principals.get(credential)

    def denied(self, _credential: str, _principal: Principal, *, reason: Refusal, ip: Address | None) -> None:  # noqa: ARG002 - the port's form
        """Note it."""
        self.refusals.append(reason)


@dataclass
class MiniResources:
    """What the routes use."""

    database: Database
    access: FakeVerifier
    may_finish: asyncio.Event
    started: asyncio.Event

    def checks(self) -> Mapping[str, Check]:
        """Return the readiness checks."""
        return {"database": self.database.check}


class Wanted(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid")

    name: str
    slow: bool = False
    fail: bool = False


class Made(BaseModel):
    """An answer with a secret."""

    name: str
    number: int
    secret: str = SECRET


router = APIRouter(route_class=StrictRoute)


@router.post("/v1/things")
async def make_thing(
    request: Request,
    wanted: Wanted,
    caller: Annotated[Caller, require("webhooks:write")],
    session: Transaction,
    key: OptionalIdempotencyKey,
) -> Response:
    """Make a thing once; slow ones wait until the test lets them go on."""
    resources: MiniResources = request.app.state.resources

    async def make() -> Made:
        number = await session.scalar(
            text("INSERT INTO things (name) VALUES (:name) RETURNING id"), {"name": wanted.name}
        )
        if wanted.slow:
            resources.started.set()
            await resources.may_finish.wait()
        if wanted.fail:
            raise RuntimeError(f"a fault that mentions {SECRET}")
        return Made(name=wanted.name, number=int(number or 0))

    return await answer_once(session, realm=caller.realm, key=key, create=make, secret_fields=frozenset({"secret"}))


@router.get("/v1/things")
async def list_things(request: Request, caller: Annotated[Caller, require("webhooks:read")]) -> dict[str, Any]:
    """Say who calls."""
    return {"ip": str(request.state.ip), "tenant": str(caller.realm.tenant_id), "environment": caller.realm.environment}


@asynccontextmanager
async def mini_service(database_url: str, *, trusted_proxies: tuple[str, ...] = ()) -> AsyncIterator[FastAPI]:
    """Start the service with empty tables on a database of its own."""
    settings = ServiceSettings(
        database_url=database_url,
        queue_url="redis://none",
        trusted_proxies=tuple(ip_network(network) for network in trusted_proxies),
    )
    database = Database.open(settings.database_url, application_name="mini")
    async with database.connection() as connection:
        await connection.exec_driver_sql("DROP TABLE IF EXISTS things, idempotency_keys")
        for statement in (TABLE_DDL, EXPIRY_DDL, "CREATE TABLE things (id serial, name text)"):
            await connection.exec_driver_sql(statement)
    resources = MiniResources(
        database=database, access=FakeVerifier(), may_finish=asyncio.Event(), started=asyncio.Event()
    )

    @asynccontextmanager
    async def opened(_registry: object) -> AsyncIterator[MiniResources]:
        yield resources

    app = create_service_app(
        title="mini", version="1", description="", settings=settings, open_resources=opened, routers=[router]
    )
    async with app.router.lifespan_context(app):
        yield app
    await database.aclose()
