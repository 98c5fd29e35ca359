"""The API of credentials behind a real socket, in a thread of its own, for clients that block."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from credentials.app import create_app
from credentials.bootstrap.service import register_given
from credentials.resources import open_resources
from shared import key_format
from support.apps import client_of, on_socket
from support.credentials_service import CredentialsService, settings_for
from support.databases import Databases
from support.thread_server import served_in_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCredentials:
    """Where it listens, keys by what they are for, and ids of objects that the tenant has."""

    url: str
    platform_key: str
    owner_key: str
    client: tuple[str, str]
    """An OAuth client's id and secret."""
    ids: Mapping[str, str]


@contextmanager
def served_credentials(postgres_url: str) -> Iterator[ServedCredentials]:
    """Serve credentials on a fresh database until the end of the block."""
    with served_in_thread(lambda: _serve(postgres_url)) as served:
        yield served


@asynccontextmanager
async def _serve(postgres_url: str) -> AsyncIterator[ServedCredentials]:
    databases = Databases(postgres_url)
    async with databases.temporary("credentials") as database_url:
        # Guesses are many here, and all from one address.
        settings = settings_for(database_url).model_copy(update={"guesses_per_minute": 0, "rate_limit_per_minute": 0})
        platform_key = key_format.generate("service", "live")
        async with open_resources(settings, serves=False) as resources:
            await register_given(resources, name="platform", text=SecretStr(platform_key))
        app = create_app(settings)
        async with on_socket(app) as url, client_of(app, headers={"x-api-key": platform_key}) as platform:
            service = CredentialsService(
                app=app, settings=settings, platform_key=platform_key, service_key=platform_key, platform=platform
            )
            yield await _furnished(service, url)
    await databases.drop_all()


async def _furnished(service: CredentialsService, url: str) -> ServedCredentials:
    tenant_id = await service.new_tenant()
    owner_key = (await service.new_key(tenant_id, roles=["owner"]))["key"]
    key = await service.new_key(tenant_id, scopes=["events:read"])
    client = await service.new_key(tenant_id, scopes=["events:read"])
    role = await service.client(owner_key).post("/v1/roles", json={"name": "payouts", "scopes": ["events:read"]})
    return ServedCredentials(
        url=url,
        platform_key=service.platform_key,
        owner_key=owner_key,
        client=(client["id"], client["key"]),
        # A tenant of its own, since it will be suspended.
        ids={"tenant_id": await service.new_tenant(), "key_id": key["id"], "role_id": role.json()["id"]},
    )
