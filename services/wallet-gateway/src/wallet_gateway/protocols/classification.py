"""What a call proves. Pure: the table of wallet-protocol.md ("Classification of a step's result").

An answer is definitive only as a 200 whose body is of the protocol, whose signature holds where there is one or one is demanded,
and which echoes what was ordered. A problem proves nothing, whatever its status and form: a proxy may have written it, and
where the wallet did, it speaks of this request and not of the one before. So also 409 and 422 are unknown, and resolved by
asking and cancelling.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeVar

from shared import strict_json
from shared.egress import NotSent as NotSentError
from shared.ewp.messages import MalformedAnswerError, State, TransferAnswer, TransferOrder, parse_transfer_answer
from wallet_gateway.protocols.results import (
    Definitive,
    EchoMismatch,
    NotFound,
    NotSent,
    Read,
    ReadFailed,
    StepResult,
    Unknown,
)
from wallet_gateway.protocols.transport import Exchange

Action = Literal["put", "commit", "cancel", "get"]
T = TypeVar("T")

OK: Final = 200
NOT_FOUND: Final = 404
_WALLET_CODE_CHARS_MAX: Final = 64


def classify_step(
    exchange: Exchange, *, order: TransferOrder, action: Action, signature_fault: str | None
) -> StepResult:
    """Return what is known of a step after one call. ``signature_fault`` is why the answer is not believed, if it is not."""
    call = exchange.call
    if isinstance(exchange.error, NotSentError):
        return NotSent(code=exchange.error.code, call=call)
    told = wallet_code(exchange)
    if fault := _fault(exchange, signature_fault):
        if action == "get" and told == "not_found" and signature_fault is None and exchange.status == NOT_FOUND:
            return NotFound(call=call)
        return Unknown(code=fault, call=call, wallet_code=told)
    return _classify_answer(exchange, order=order, action=action)


def _classify_answer(exchange: Exchange, *, order: TransferOrder, action: Action) -> StepResult:
    call = exchange.call
    try:
        answer = parse_transfer_answer(exchange.body)
    except MalformedAnswerError:
        return Unknown(code="answer_malformed", call=call)
    if wrong := echo_mismatch(order, answer):
        return EchoMismatch(detail=wrong, call=call)
    if answer.state not in possible_states(order, action):
        return Unknown(code="answer_unexpected_state", call=call)
    return Definitive(answer=answer, call=call)


def classify_read(exchange: Exchange, *, parse: Callable[[bytes], T], signature_fault: str | None) -> Read[T]:
    """Return what was read; raises ReadFailed for everything but a 200 that ``parse`` takes and that can be believed."""
    call = exchange.call
    if isinstance(exchange.error, NotSentError):
        raise ReadFailed(exchange.error.code, sent=False, call=call)
    if fault := _fault(exchange, signature_fault):
        raise ReadFailed(fault, sent=True, call=call, wallet_code=wallet_code(exchange))
    try:
        return Read(value=parse(exchange.body), call=call)
    except MalformedAnswerError as error:
        raise ReadFailed("answer_malformed", sent=True, call=call) from error


def echo_mismatch(order: TransferOrder, answer: TransferAnswer) -> str | None:
    """Say in which field an answer speaks of something else than was ordered; a tombstone echoes the id alone."""
    if answer.transfer_id != order.transfer_id:
        return "transfer_id"
    if answer.is_tombstone:
        return None
    for name in ("op", "amount", "currency"):
        if getattr(answer, name) != getattr(order, name):
            return name
    return None


def possible_states(order: TransferOrder, action: Action) -> frozenset[State]:
    """Return the states that an answer can tell of; another one contradicts the call and proves nothing.

    A wallet that still says ``held`` after a commit or a cancel has not done it, or not yet.
    """
    ends: frozenset[State] = frozenset({"committed", "cancelled", "rejected"})
    if order.mode == "direct" or action in {"commit", "cancel"}:
        return ends
    return ends | {"held"}


def wallet_code(exchange: Exchange) -> str | None:
    """Return the ``code`` of a problem, for people and for 404 alone; None for whatever is no problem."""
    if exchange.error is not None or exchange.status == OK:
        return None
    try:
        problem = strict_json.loads(exchange.body)
    except strict_json.MalformedJsonError:
        return None
    code = problem.get("code") if isinstance(problem, dict) else None
    return code[:_WALLET_CODE_CHARS_MAX] if isinstance(code, str) and code.isprintable() else None


def _fault(exchange: Exchange, signature_fault: str | None) -> str | None:
    """Return the first thing, as it met us, for which an answer proves nothing."""
    if exchange.error is not None:
        return exchange.error.code
    if exchange.status != OK:
        return f"http_{exchange.status}"
    return "response_too_large" if exchange.truncated else signature_fault
