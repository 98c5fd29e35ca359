"""The clerk: decides about what the gateway does not know, by what the wallets say, and reads what reconciliation has found.

Works when the wallets tell the truth again. Where only the credit is in question the gateway goes on by itself; in every other
case the clerk puts both wallets right, as the gateway asks of people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import SecretStr

from chaos.money_backup import reconcile
from chaos.money_books import Effect
from chaos.money_wallets import CLERK_KEY_ID, ICE, SYSTEMS, System, Wallets, clerk_secret, insist
from shared.ewp.messages import TransferOrder
from support.ewp_calls import a_client, to
from wallet_gateway.protocols.client import WalletClient
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey
from wallet_gateway.protocols.results import Definitive, NotFound

_MINUTE = timedelta(seconds=60)
Leg = Literal["debit", "credit", "refund"]


@dataclass(slots=True, kw_only=True)
class Clerk:
    """``by_hand``: what was ordered under ids of the clerk's own, for which transfer, and where."""

    wallets: Wallets
    by_hand: dict[str, str] = field(default_factory=dict)
    places: dict[str, System] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)

    async def decide(self) -> int:
        """Decide about everything that is under review now; returns how many."""
        async with self.wallets.stack.client("wallet-gateway", "owner") as gateway, a_client() as client:
            listed = await insist(gateway.get, "/v1/transfers?status=manual_review&limit=200")
            transfers = listed.raise_for_status().json()["data"]
            for transfer in transfers:
                path = f"/v1/transfers/{transfer['id']}"
                shown = (await insist(gateway.get, path)).raise_for_status().json()
                decision = await self._decision(client, shown)
                body = {"decision": decision, "evidence": "Seen in both wallets."}
                resolved = await insist(gateway.post, f"{path}/resolve", json=body)
                resolved.raise_for_status()
                self.decided.add(transfer["id"])
            return len(transfers)

    async def check_reconciliations(self, *, planted: Mapping[str, System], forgotten: Sequence[Effect]) -> list[str]:
        """Compare with every wallet; returns what was found that must not be, and what was not found."""
        wrong = []
        async with self.wallets.stack.client("wallet-gateway", "owner") as gateway:
            for system in SYSTEMS:
                run = await reconcile(self.wallets, gateway, system)
                found = {(each["step_id"], each["kind"]) for each in run["breaks"]}
                lost = {(each.order, "missing_at_wallet") for each in forgotten if each.system == system.key}
                alone = {order for order, where in planted.items() if where is system}
                alone |= {order for order, where in self.places.items() if where is system}
                expected = lost | {(order, "unknown_to_us") for order in alone}
                wrong += [
                    f"{system.key} has the break {each}" for each in found - expected if not self._is_decided(each[0])
                ]
                wrong += [f"{system.key} has no break {each}: {run}" for each in expected - found]
        return wrong

    def _is_decided(self, order: str | None) -> bool:
        return order is not None and order.partition(".")[0] in self.decided

    async def _decision(self, client: WalletClient, transfer: dict[str, Any]) -> Literal["completed", "failed"]:
        last = transfer["steps"][-1]
        case = _Case(clerk=self, client=client, transfer=transfer)
        if last["kind"] == "credit":
            return "completed" if await case.fenced("credit") == "committed" else "failed"
        if any(step["kind"] == "credit" and step["outcome"] == "applied" for step in transfer["steps"]):
            assert await case.committed("debit") == "committed", transfer
            return "completed"
        assert await case.fenced("credit") != "committed", transfer
        if await case.fenced("debit") == "committed" and await case.fenced("refund") != "committed":
            await case.give_back()
        return "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One transfer under review."""

    clerk: Clerk
    client: WalletClient
    transfer: dict[str, Any]

    async def fenced(self, leg: Leg) -> str:
        """Make sure that a leg does not happen later; returns the state in which it stays."""
        result = await self.client.cancel(self._endpoint(leg), self._order(leg))
        assert isinstance(result, Definitive), (leg, result, self.transfer)
        return result.answer.state

    async def committed(self, leg: Leg) -> str:
        """Take what is held; returns the state in which it stays."""
        seen = await self.client.get_transfer(self._endpoint(leg), self._order(leg))
        assert not isinstance(seen, NotFound), self.transfer
        result = await self.client.commit(self._endpoint(leg), self._order(leg))
        assert isinstance(result, Definitive), (leg, result, self.transfer)
        return result.answer.state

    async def give_back(self) -> None:
        """Credit the source under an id of the clerk's own; a frozen account is thawed before."""
        system = self._system("refund")
        async with self.clerk.wallets.control(system.service) as control:
            path = f"/control/systems/{system.name}/wallets/{ICE}"
            (await insist(control.patch, path, json={"frozen": False})).raise_for_status()
        own = f"by-hand-{self.transfer['id']}"
        result = await self.client.put_transfer(self._endpoint("refund"), self._order("refund", own_id=own))
        assert isinstance(result, Definitive), (result, self.transfer)
        assert result.answer.state == "committed", result
        self.clerk.by_hand[own] = self.transfer["id"]
        self.clerk.places[own] = system

    def _system(self, leg: Leg) -> System:
        wallet = self.transfer["target" if leg == "credit" else "source"]["wallet"]
        return next(system for system, known in self.clerk.wallets.ids.items() if known == wallet)

    def _endpoint(self, leg: Leg) -> Endpoint:
        system = self._system(leg)
        key = WalletKey(key_id=CLERK_KEY_ID.format(system=system.name), secret=SecretStr(clerk_secret()))
        return to(self.clerk.wallets.url(system), key, signatures="required", timeout_seconds=10)

    def _order(self, leg: Leg, *, own_id: str | None = None) -> TransferOrder:
        side = self.transfer["target" if leg == "credit" else "source"]
        return TransferOrder(
            transfer_id=own_id or f"{self.transfer['id']}.{leg}.1",
            op="debit" if leg == "debit" else "credit",
            mode="direct",
            wallet_id=side["account"],
            owner_ref=self.transfer["owner_ref"],
            amount=Decimal(self.transfer["amount"]),
            currency=self.transfer["currency"],
            not_after=datetime.now(UTC) + _MINUTE,
        )


async def decide_until_nothing_is_open(clerk: Clerk, *, until_ended: Any) -> int:
    """Decide, wait for what goes on by itself, and again; returns how many decisions it took."""
    decisions = 0
    while True:
        await until_ended()
        made = await clerk.decide()
        if not made:
            return decisions
        decisions += made
