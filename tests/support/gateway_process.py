"""The gateway's API behind a real socket, in a thread of its own, with a wallet that answers, for clients that block."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from support.apps import on_socket
from support.databases import Databases
from support.fake_wallet import FakeWallet
from support.gateway_service import fresh_gateway_service
from support.thread_server import served_in_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedGateway:
    """Where it listens, a key with every scope of a tenant, and values of path parameters for objects that are there."""

    url: str
    key: str
    ids: Mapping[str, str]


@contextmanager
def served_gateway(postgres_url: str) -> Iterator[ServedGateway]:
    """Serve the gateway on a fresh database until the end of the block."""
    with served_in_thread(lambda: _serve(postgres_url)) as served:
        yield served


@asynccontextmanager
async def _serve(postgres_url: str) -> AsyncIterator[ServedGateway]:
    databases = Databases(postgres_url)
    wallet = FakeWallet()
    wallet.model.open_account("acct-1", "100", owner_ref="a1b2c3d4")
    # The fixture has started the application already.
    async with fresh_gateway_service(databases) as service, on_socket(service.app, started=True) as url:
        tenant = await service.new_tenant()
        async with tenant.served_wallet(wallet) as (made, _), tenant.served_wallet(home=True):
            ids = {"wallet_id": made["id"], "owner_ref": "a1b2c3d4"}
            yield ServedGateway(url=url, key=tenant.owner.headers["x-api-key"], ids=ids)
    await databases.drop_all()
