"""Reconciliation for tests: the bench of transfers, and a reconciler that runs when a test says."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from support.transfer_bench import Bench, Place
from wallet_gateway.reconciliation.reconciler import Reconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The bench of one tenant, and its reconciler."""

    bench: Bench
    reconciler: Reconciler

    async def reconcile(self, place: Place, **time: str) -> dict[str, Any]:
        """Ask for a reconciliation of a wallet, work it off, and return it with what it found."""
        begun = await self.start(place, **time)
        while await self.reconciler.work_once():
            pass
        return await self.shown(begun["id"])

    async def start(self, place: Place, **time: str) -> dict[str, Any]:
        """Ask for a reconciliation."""
        body = {"external_wallet_id": place.wallet, **time}
        answer = await self.bench.tenant.owner.post("/v1/reconciliations", json=body)
        assert answer.status_code == 201, answer.text
        begun: dict[str, Any] = answer.json()
        assert begun["status"] == "running"
        return begun

    async def shown(self, reconciliation_id: str) -> dict[str, Any]:
        """Return a reconciliation."""
        answer = await self.bench.tenant.owner.get(f"/v1/reconciliations/{reconciliation_id}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def scheduled(self, place: Place) -> list[dict[str, Any]]:
        """Let the time of scheduled runs come, work them off, and return those of a wallet, newest first."""
        await self.bench.service.rows("UPDATE feed_positions SET next_run_at = now()")
        await self.reconciler.schedule()
        while await self.reconciler.work_once():
            pass
        query = {"external_wallet_id": self.bench.id_of(place)}
        answer = await self.bench.tenant.owner.get("/v1/reconciliations", params=query)
        return [run for run in answer.json()["data"] if run["scheduled"]]

    async def events(self, place: Place) -> list[dict[str, Any]]:
        """Return the events about breaks of a wallet that wait to be published, oldest first."""
        rows = await self.bench.service.rows(
            "SELECT body FROM outbox WHERE ordering_key = :wallet ORDER BY id", wallet=self.bench.id_of(place)
        )
        return [orjson.loads(row.body) for row in rows]

    async def wallet(self, place: Place) -> dict[str, Any]:
        """Return a wallet as it is shown."""
        answer = await self.bench.tenant.owner.get(f"/v1/external-wallets/{self.bench.id_of(place)}")
        shown: dict[str, Any] = answer.json()
        return shown


async def books_of(running: Bench) -> Books:
    """Return the books of a new tenant."""
    bench = replace(running, tenant=await running.service.new_tenant(), places=[])
    resources = bench.service.resources
    reconciler = Reconciler(
        database=resources.database, wallets=resources.wallets, discovery=resources.discovery, interval_seconds=300
    )
    return Books(bench=bench, reconciler=reconciler)
