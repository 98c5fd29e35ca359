"""A model of a wallet that keeps ``ewp/1``, in whole amounts, and counts each order's effects. For ``transfer_world``."""

from dataclasses import dataclass, field

from wallet_gateway.transfers.plan import StepKind
from wallet_gateway.transfers.resolution import Call, State

AMOUNT = 10
"""What every order moves."""


@dataclass(slots=True, kw_only=True)
class Order:
    """One transfer id at a wallet. ``effects``: how often it changed the ledger."""

    state: State
    op: str
    effects: int = 0


@dataclass(slots=True, kw_only=True)
class ModelWallet:
    """A wallet system that keeps ``ewp/1``."""

    ledger: int
    holds_end: bool = False
    refuses: bool = False
    orders: dict[str, Order] = field(default_factory=dict)
    applies_twice: bool = False
    """A planted fault: a repeated PUT is applied again."""

    @property
    def available(self) -> int:
        """Return what is not promised."""
        return self.ledger - AMOUNT * sum(order.state == "held" for order in self.orders.values())

    def receive(self, call: Call, order_id: str, *, kind: StepKind, expired: bool) -> State | None:
        """Do what a request asks, and return the state; None: not found."""
        order = self.orders.get(order_id)
        if call == "get":
            return order.state if order else None
        if call == "put":
            return self._put(order_id, order, kind=kind, expired=expired)
        if order is None:
            assert call == "cancel", "a commit of something that was never held"
            order = self.orders[order_id] = Order(state="cancelled", op="none")
        elif order.state == "held":
            order.state = "committed" if call == "commit" else "cancelled"
            if call == "commit":
                self._apply(order)
        return order.state

    def _put(self, order_id: str, order: Order | None, *, kind: StepKind, expired: bool) -> State:
        if order is not None:
            if self.applies_twice and order.state == "committed":
                self._apply(order)
            return order.state
        is_credit = kind in {StepKind.CREDIT, StepKind.REFUND}
        order = self.orders[order_id] = Order(state="rejected", op="credit" if is_credit else "debit")
        if expired or self.refuses or (not is_credit and self.available < AMOUNT):
            return order.state
        order.state = "held" if kind is StepKind.HOLD else "committed"
        if order.state == "committed":
            self._apply(order)
        return order.state

    def end_holds(self) -> None:
        """Let time end every hold."""
        assert self.holds_end
        for order in self.orders.values():
            if order.state == "held":
                order.state = "cancelled"

    def effects(self, order_id: str) -> int:
        """Return how often an order changed the ledger."""
        order = self.orders.get(order_id)
        return order.effects if order else 0

    def _apply(self, order: Order) -> None:
        order.effects += 1
        self.ledger += AMOUNT if order.op == "credit" else -AMOUNT
