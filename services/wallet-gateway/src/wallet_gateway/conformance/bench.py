"""What rules work with: a wallet with money in it, orders, and the steps that are right in themselves."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from shared.ewp.fields import format_time
from shared.ewp.messages import WellKnown
from shared.ewp.money import MoneyError, format_amount, parse_amount
from wallet_gateway.conformance.peer import Peer, Reply
from wallet_gateway.conformance.rule import NotApplicableError, RuleBrokenError, demand

STATES = ("held", "committed", "cancelled", "rejected")
_ORDER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The wallet whose money the rules move, and what it had at the beginning."""

    wallet_id: str
    owner_ref: str
    currency: str
    scale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A balance as it was read."""

    ledger: Decimal
    available: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The part of a transfer's answer that rules compare; ``content`` is all of it."""

    transfer_id: str
    state: str
    amount: str | None
    currency: str | None
    op: str | None
    error_code: str | None
    seq: int
    content: dict[str, Any] = field(repr=False)

    @property
    def told(self) -> str:
        """Return the state as a person would say it."""
        return f"{self.state} ({self.error_code})" if self.error_code else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run against one wallet. ``run_id`` begins every transfer's id, so that runs do not meet."""

    peer: Peer
    account: Account
    well_known: WellKnown
    run_id: str
    response_signatures: Literal["required", "optional"]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> str:
        """Return the id of a transfer that was never used."""
        return f"{self.run_id}.{next(self._numbers)}.1"

    def money(self, minor_units: int | Decimal) -> str:
        """Return so many of the currency's smallest units as an amount."""
        return format_amount(Decimal(minor_units).scaleb(-self.account.scale), self.account.scale)

    def order(self, *, minor_units: int = 1, seconds: float = _ORDER_SECONDS, **fields: Any) -> dict[str, Any]:
        """Return the body of a direct debit of the account, but for the fields given."""
        usual = {
            "op": "debit",
            "mode": "direct",
            "wallet_id": self.account.wallet_id,
            "owner_ref": self.account.owner_ref,
            "amount": self.money(minor_units),
            "currency": self.account.currency,
            "not_after": format_time(datetime.now(UTC) + timedelta(seconds=seconds)),
        }
        return {**usual, **fields}

    def need_holds(self) -> None:
        """Raise NotApplicableError for a wallet that moves money at once or not at all."""
        if not self.well_known.holds:
            raise NotApplicableError("the well-known document says holds: false")

    def need_feed(self) -> None:
        """Raise NotApplicableError for a wallet without a feed."""
        if not self.well_known.feed:
            raise NotApplicableError("the well-known document says feed: false")

    async def put(self, transfer_id: str, order: dict[str, Any]) -> State:
        """Send an order and return the state; raises RuleBrokenError unless it is a 200 of the right form."""
        return state_of(await self.peer.call("PUT", f"/v1/transfers/{transfer_id}", order), transfer_id)

    async def done(self, transfer_id: str, order: dict[str, Any]) -> State:
        """Send an order that has to be carried out."""
        state = await self.put(transfer_id, order)
        wanted = "held" if order["mode"] == "hold" else "committed"
        demand(state.state == wanted, f"an order that can be carried out became {state.told} instead of {wanted}")
        return state

    async def held(self, *, minor_units: int = 1, seconds: float = _ORDER_SECONDS) -> str:
        """Hold money and return the transfer's id; raises NotApplicableError without holds."""
        self.need_holds()
        transfer_id = self.new_id()
        await self.done(transfer_id, self.order(mode="hold", minor_units=minor_units, seconds=seconds))
        return transfer_id

    async def commit(self, transfer_id: str) -> State:
        """Commit and return the state; raises RuleBrokenError unless it is a 200 of the right form."""
        return state_of(await self.peer.call("PUT", f"/v1/transfers/{transfer_id}/commit"), transfer_id)

    async def cancel(self, transfer_id: str) -> State:
        """Cancel and return the state; raises RuleBrokenError unless it is a 200 of the right form."""
        return state_of(await self.peer.call("PUT", f"/v1/transfers/{transfer_id}/cancel"), transfer_id)

    async def get(self, transfer_id: str) -> State:
        """Ask for a transfer that is known; raises RuleBrokenError unless it is a 200 of the right form."""
        return state_of(await self.peer.call("GET", f"/v1/transfers/{transfer_id}"), transfer_id)

    async def balance(self) -> Balance:
        """Read the account; raises RuleBrokenError."""
        target = f"/v1/wallets/{self.account.wallet_id}/balance"
        content = (await self.peer.call("GET", target)).expect(200).json()
        try:
            return Balance(**{name: parse_amount(content.get(name)) for name in ("ledger", "available", "held")})
        except (MoneyError, AttributeError) as error:
            raise RuleBrokenError(f"GET {target}: ledger, available and held are not amounts") from error

    async def demand_moved(self, before: Balance, *, ledger: int = 0, held: int = 0) -> None:
        """Raise RuleBrokenError unless the balance changed by exactly so many of the currency's smallest units."""
        after = await self.balance()
        unit = Decimal(1).scaleb(-self.account.scale)
        wanted = (before.ledger + ledger * unit, before.held + held * unit)
        found = (after.ledger, after.held)
        demand(found == wanted, f"ledger and held are {_shown(found)} instead of {_shown(wanted)}")

    async def feed(self, *, after_seq: int, limit: int = 50) -> tuple[list[dict[str, Any]], int]:
        """Read a page of the feed; raises RuleBrokenError."""
        target = f"/v1/transfers?after_seq={after_seq}&limit={limit}"
        page = (await self.peer.call("GET", target)).expect(200).json()
        entries, latest = (page.get("data"), page.get("latest_seq")) if isinstance(page, dict) else (None, None)
        if not isinstance(entries, list) or not isinstance(latest, int):
            raise RuleBrokenError(f"GET {target}: no object with data and latest_seq")
        return entries, latest


def state_of(reply: Reply, transfer_id: str) -> State:
    """Return the state that an answer tells; raises RuleBrokenError unless it is a 200 about this transfer."""
    content = reply.expect(200).json()
    if not isinstance(content, dict) or content.get("state") not in STATES:
        raise RuleBrokenError(f"{reply.call}: the answer has no state of the protocol")
    error = content.get("error")
    demand(content.get("transfer_id") == transfer_id, f"{reply.call}: the answer is about another transfer_id")
    return State(
        transfer_id=transfer_id,
        state=content["state"],
        amount=content.get("amount"),
        currency=content.get("currency"),
        op=content.get("op"),
        error_code=error.get("code") if isinstance(error, dict) else None,
        seq=seq if isinstance(seq := content.get("seq"), int) else -1,
        content=content,
    )


def _shown(amounts: tuple[Decimal, ...]) -> str:
    return " and ".join(format(amount, "f") for amount in amounts)
