"""The gateway's API behind a real socket, in a thread of its own, with a wallet that answers, for clients that block."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.ewp.messages import TransferOrder
from support.apps import on_socket
from support.databases import Databases
from support.fake_wallet import FakeWallet
from support.gateway_service import GatewayService, Tenant, fresh_gateway_service
from support.thread_server import served_in_thread
from wallet_gateway.reconciliation.reconciler import Reconciler


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
    wallet.model.put(
        TransferOrder(
            transfer_id="theirs",
            op="credit",
            mode="direct",
            wallet_id="acct-1",
            owner_ref="a1b2c3d4",
            amount=Decimal(1),
            currency="USD",
            not_after=datetime.now(UTC) + timedelta(minutes=1),
        )
    )
    # The fixture has started the application already.
    async with fresh_gateway_service(databases) as service, on_socket(service.app, started=True) as url:
        tenant = await service.new_tenant()
        async with tenant.served_wallet(wallet) as (made, _), tenant.served_wallet(home=True):
            ids = {"wallet_id": made["id"], "owner_ref": "a1b2c3d4", **await _furnish(service, tenant, made["id"])}
            yield ServedGateway(url=url, key=tenant.owner.headers["x-api-key"], ids=ids)
    await databases.drop_all()


async def _furnish(service: GatewayService, tenant: Tenant, wallet_id: str) -> dict[str, str]:
    """Begin a transfer, and reconcile with a wallet that knows more than we do."""
    side = {"wallet": wallet_id, "account": "acct-1"}
    ordered = {"owner_ref": "a1b2c3d4", "source": side, "target": {"wallet": "home", "account": "w"}}
    transfer = await tenant.owner.post(
        "/v1/transfers", json={**ordered, "amount": "1.00", "currency": "USD"}, headers={"idempotency-key": "first"}
    )
    run = await tenant.owner.post("/v1/reconciliations", json={"external_wallet_id": wallet_id})
    resources = service.resources
    reconciler = Reconciler(
        database=resources.database, wallets=resources.wallets, discovery=resources.discovery, interval_seconds=0
    )
    assert await reconciler.work_once()
    shown = (await tenant.owner.get(f"/v1/reconciliations/{run.json()['id']}")).json()
    return {
        "transfer_id": transfer.json()["id"],
        "reconciliation_id": shown["id"],
        "break_id": shown["breaks"][0]["id"],
    }
