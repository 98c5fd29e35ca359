"""The old backup of one wallet: restored while everything else goes on; the gateway must freeze that wallet, and say so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import httpx2

from chaos.money_books import Effect, read_effects
from chaos.money_load import MoneyLoad
from chaos.money_wallets import HOME, OWNER, RESTORED, System, Wallets, insist
from shared import typeids

T = TypeVar("T")

DATABASE_IS_AWAY = (
    *(OSError, TimeoutError, httpx2.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError),
    # Of a connection that ended between two messages.
    asyncpg.InternalClientError,
)
_LOST_MAX = 8
_STRAY_SECONDS = 2.0
_POLL_SECONDS = 0.2
_CREATED, _CONFLICT = 201, 409


@dataclass(slots=True, kw_only=True)
class Backup:
    """``forgotten``: what the wallet had done and no longer knows."""

    wallets: Wallets
    load: MoneyLoad
    forgotten: list[Effect] = field(default_factory=list)
    is_done: bool = False

    async def restore(self) -> None:
        """Wait for the wallet's own transfers to end, take it back in time, see it frozen, and thaw it with evidence."""
        await self.load.begun.wait()
        stack = self.wallets.stack
        async with (
            stack.client("wallet-gateway", "owner") as gateway,
            self.wallets.control(RESTORED.service) as control,
        ):
            seq, lost = await self._quiet_point()
            await reconcile(self.wallets, gateway, RESTORED)
            path = f"/control/systems/{RESTORED.name}/restore"
            (await insist(control.post, path, json={"seq": seq})).raise_for_status()
            self.forgotten = lost
            run = await reconcile(self.wallets, gateway, RESTORED)
            assert [each["kind"] for each in run["breaks"]].count("feed_regressed") == 1, run
            wallet = f"/v1/external-wallets/{self.wallets.ids[RESTORED]}"
            shown = (await insist(gateway.get, wallet)).json()
            assert (shown["frozen"], shown["frozen_reason"]) == (True, "feed_regressed"), shown
            await self._see_transfers_refused(gateway)
            evidence = {"evidence": "The partner restored a backup; what it lost is known."}
            thawed = await insist(gateway.post, f"{wallet}/unfreeze", json=evidence)
            # 409: it was thawed, and the answer was lost.
            assert thawed.is_success or thawed.json()["code"] == "wallet_not_frozen", thawed.text
        self.load.restored_is_usable.set()
        self.is_done = True

    async def _quiet_point(self) -> tuple[int, list[Effect]]:
        """Stop transfers with the wallet, and return a change after which it is to know nothing, with what that was."""
        while True:
            self.load.restored_is_usable.clear()
            while self.load.restored_under_way or await until_read(self._under_way):  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(_POLL_SECONDS)
            # Requests of a worker that was killed may still be on their way.
            await asyncio.sleep(_STRAY_SECONDS)
            found = await until_read(self._choose)
            if found is not None:
                return found
            self.load.restored_is_usable.set()
            await asyncio.sleep(1.0)

    async def _under_way(self) -> int:
        connection = await asyncpg.connect(self.wallets.stack.info()["databases"]["wallet-gateway"], timeout=5)
        try:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM transfers t JOIN external_wallets w ON w.id IN (source_wallet_id, target_wallet_id)"
                " WHERE w.name = $1 AND t.status = 'pending'",
                RESTORED.name,
            )
        finally:
            await connection.close()
        return count

    async def _in_review(self) -> set[str]:
        connection = await asyncpg.connect(self.wallets.stack.info()["databases"]["wallet-gateway"], timeout=5)
        try:
            rows = await connection.fetch("SELECT id FROM transfers WHERE status = 'manual_review'")
        finally:
            await connection.close()
        return {typeids.encode("tr", row["id"]) for row in rows}

    async def _choose(self) -> tuple[int, list[Effect]] | None:
        """Return the earliest change, of the last few, after which only whole orders were made, of transfers that have ended.

        None where there is no such change, or no money moved after it.
        """
        in_review = await self._in_review()
        connection = await asyncpg.connect(self.wallets.stack.info()["databases"][RESTORED.service], timeout=5)
        try:
            rows = await connection.fetch(
                "SELECT f.transfer_id, min(f.seq) AS first, max(f.seq) AS last FROM feed f"
                " JOIN systems s ON s.id = f.system_id WHERE s.name = $1 GROUP BY f.transfer_id",
                RESTORED.name,
            )
            latest = max((row["last"] for row in rows), default=0)
            for seq in range(max(latest - _LOST_MAX, 0), latest):
                whole = all(row["first"] > seq or row["last"] <= seq for row in rows)
                gone = {row["transfer_id"].partition(".")[0] for row in rows if row["last"] > seq}
                if not whole or gone & in_review:
                    continue
                lost = await read_effects(connection, RESTORED, after_seq=seq)
                if lost:
                    return seq, lost
        finally:
            await connection.close()
        return None

    async def _see_transfers_refused(self, gateway: httpx2.AsyncClient) -> None:
        """Ask for a transfer with the frozen wallet until something else than an open breaker refuses it."""
        body: dict[str, Any] = {"owner_ref": OWNER, "currency": "USD", "amount": "1.00"}
        for side, system in (("source", HOME), ("target", RESTORED)):
            body[side] = {"wallet": self.wallets.ids[system], "account": "w0"}
        key = {"idempotency-key": "to-the-frozen"}
        answer = await insist(gateway.post, "/v1/transfers", json=body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (_CONFLICT, "wallet_frozen"), answer.text


async def reconcile(wallets: Wallets, gateway: httpx2.AsyncClient, system: System) -> dict[str, Any]:
    """Compare with a wallet now, and return the run with its breaks once it has got to its end."""
    wanted = {"external_wallet_id": wallets.ids[system]}
    while True:
        answer = await insist(gateway.post, "/v1/reconciliations", json=wanted)
        if answer.status_code == _CREATED:
            break
        # Too many are running already.
        assert answer.status_code == _CONFLICT, answer.text
        await asyncio.sleep(_POLL_SECONDS)
    path = f"/v1/reconciliations/{answer.json()['id']}"
    while True:
        run: dict[str, Any] = (await insist(gateway.get, path)).raise_for_status().json()
        if run["status"] != "running":
            return run
        await asyncio.sleep(_POLL_SECONDS)


async def until_read(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a database says, once it is there to say it."""
    while True:
        try:
            return await call()
        except DATABASE_IS_AWAY:
            await asyncio.sleep(_POLL_SECONDS)
