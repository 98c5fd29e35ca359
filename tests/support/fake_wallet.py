"""The port of wallet calls without a network: model wallets, each with a script of what goes wrong.

``FakeWalletClient`` keeps the contract that the real client keeps: one suite holds both to it, ``test_wallet_client.py``.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from shared.ewp.messages import BalancePage, FeedPage, TransferAnswer, TransferOrder, WalletBalance, WellKnown
from support.model_wallet import ContentMismatch, ModelWallet
from wallet_gateway.protocols.classification import Action, echo_mismatch, possible_states
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import (
    CallRecord,
    Definitive,
    EchoMismatch,
    NotFound,
    NotSent,
    Read,
    ReadFailed,
    StepResult,
    Unknown,
)

Fault = Literal[
    "not_sent",  # nothing leaves
    "lost",  # it leaves and never arrives
    "late",  # it arrives only when deliver_late() is called; the caller hears nothing
    "answer_lost",  # it is carried out; the caller hears nothing
    "error_before",  # 500, not carried out
    "error_after",  # carried out, then 500
    "unauthorised",  # 401, not carried out
    "proxy_404",  # a proxy's page, not carried out
    "html",  # 200 with HTML, carried out
    "malformed",  # 200 with half of an answer, carried out
    "bad_signature",  # carried out, the answer's signature does not fit
    "wrong_id",
    "wrong_op",
    "wrong_amount",
    "wrong_currency",  # carried out, the answer speaks of something else
]
UNKNOWN_CODES: dict[Fault, str] = {
    "lost": "timeout",
    "late": "timeout",
    "answer_lost": "response_broken",
    "error_before": "http_500",
    "error_after": "http_500",
    "unauthorised": "http_401",
    "proxy_404": "http_404",
    "html": "answer_malformed",
    "malformed": "answer_malformed",
    "bad_signature": "response_signature_mismatch",
}
NOT_CARRIED_OUT: frozenset[Fault] = frozenset({"not_sent", "lost", "late", "error_before", "unauthorised", "proxy_404"})


@dataclass(slots=True, kw_only=True)
class FakeWallet:
    """A model wallet behind a bad line. ``faults`` are used up one for each call, oldest first; empty: all goes well."""

    model: ModelWallet = field(default_factory=ModelWallet)
    faults: deque[Fault | None] = field(default_factory=deque)
    calls: list[tuple[Action, str]] = field(default_factory=list)
    _late: list[Callable[[], object]] = field(default_factory=list)

    def next_fault(self) -> Fault | None:
        """Take the fault of the next call."""
        return self.faults.popleft() if self.faults else None

    def act(self, action: Action, transfer_id: str, order: TransferOrder | None) -> TransferAnswer | None:
        """Carry out one call, a put with its order; raises ContentMismatch."""
        if action == "put":
            assert order is not None
            return self.model.put(order)
        if action == "get":
            return self.model.get(transfer_id)
        return self.model.commit(transfer_id) if action == "commit" else self.model.cancel(transfer_id)

    def keep_for_later(self, call: Callable[[], object]) -> None:
        """Remember a call that is still on its way."""
        self._late.append(call)

    def deliver_late(self) -> int:
        """Let everything arrive that is on its way, and return how much that was."""
        arriving, self._late = self._late, []
        for call in arriving:
            call()
        return len(arriving)


def wrong_echo(fault: Fault, answer: TransferAnswer) -> TransferAnswer:
    """Return the answer as a wallet would give it that confuses two transfers."""
    changes: dict[Fault, dict[str, object]] = {
        "wrong_id": {"transfer_id": "tr_another.1.1"},
        "wrong_op": {"op": "credit" if answer.op == "debit" else "debit"},
        "wrong_amount": {"amount": (answer.amount or Decimal(0)) + Decimal(1)},
        "wrong_currency": {"currency": "AUD"},
    }
    if answer.is_tombstone and fault != "wrong_id":
        return answer
    return answer.model_copy(update=changes.get(fault))


class FakeWalletClient:
    """See ``wallet_gateway.protocols.client.WalletClient``. A wallet is found by its endpoint's ``base_url``."""

    def __init__(self, wallets: dict[str, FakeWallet]) -> None:
        self._wallets = wallets

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        """Ask what the system can do."""
        return Read(value=self._read(endpoint).well_known(), call=_call(200))

    async def query_balances(
        self,
        endpoint: Endpoint,
        *,
        owner_refs: Sequence[str],
        currency: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Read[BalancePage]:
        """Return one page."""
        model = self._read(endpoint)
        page = model.query(owner_refs=owner_refs, currency=currency, cursor=cursor, limit=limit)
        return Read(value=page, call=_call(200))

    async def balance(
        self, endpoint: Endpoint, *, wallet_id: str, owner_ref: str | None = None, currency: str | None = None
    ) -> Read[WalletBalance]:
        """Return one wallet."""
        found = self._read(endpoint).balance(wallet_id)
        if found is None:
            raise ReadFailed("http_404", sent=True, call=_call(404), wallet_code="not_found")
        if owner_ref not in {None, found.owner_ref} or currency not in {None, found.currency}:
            raise ReadFailed("answer_malformed", sent=True, call=_call(200))
        return Read(value=found, call=_call(200))

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return self._step(endpoint, order, "put")

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return self._step(endpoint, order, "commit")

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return self._step(endpoint, order, "cancel")

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return self._step(endpoint, order, "get")

    async def feed(self, endpoint: Endpoint, *, after_seq: int, limit: int) -> Read[FeedPage]:
        """Return the changes after ``after_seq``."""
        return Read(value=self._read(endpoint).feed(after_seq=after_seq, limit=limit), call=_call(200))

    def _read(self, endpoint: Endpoint) -> ModelWallet:
        wallet = self._wallets[endpoint.base_url]
        fault = wallet.next_fault()
        if fault == "not_sent":
            raise ReadFailed("connect_failed", sent=False, call=_call(None))
        if fault is not None:
            raise ReadFailed(UNKNOWN_CODES.get(fault, "answer_malformed"), sent=True, call=_call(None))
        return wallet.model

    def _step(self, endpoint: Endpoint, order: TransferOrder, action: Action) -> StepResult:
        wallet = self._wallets[endpoint.base_url]
        fault = wallet.next_fault()
        if fault == "not_sent":
            return NotSent(code="connect_failed", call=_call(None))
        wallet.calls.append((action, order.transfer_id))
        if fault == "late":
            wallet.keep_for_later(lambda: wallet.act(action, order.transfer_id, order))
        if fault in NOT_CARRIED_OUT:
            return Unknown(code=UNKNOWN_CODES[fault], call=_call(None))
        try:
            answer = wallet.act(action, order.transfer_id, order)
        except ContentMismatch:
            return Unknown(code="http_409", call=_call(409), wallet_code="idempotency_mismatch")
        if fault in UNKNOWN_CODES:
            return Unknown(code=UNKNOWN_CODES[fault], call=_call(None))
        if answer is None:
            return NotFound(call=_call(404))
        return _judged(answer if fault is None else wrong_echo(fault, answer), order, action)


def _judged(answer: TransferAnswer, order: TransferOrder, action: Action) -> StepResult:
    if wrong := echo_mismatch(order, answer):
        return EchoMismatch(detail=wrong, call=_call(200))
    if answer.state not in possible_states(order, action):
        return Unknown(code="answer_unexpected_state", call=_call(200))
    return Definitive(answer=answer, call=_call(200))


def _call(status: int | None) -> CallRecord:
    return CallRecord(started_at=datetime.now(UTC), duration_ms=0.0, response_status=status)
