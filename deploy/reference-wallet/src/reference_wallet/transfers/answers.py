"""How a transfer is answered: the same object for a PUT, a GET and the feed."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from reference_wallet.transfers.rules import Transfer
from shared.ewp.money import format_amount


def answer_of(transfer: Transfer) -> dict[str, Any]:
    """Return the JSON of a transfer's present state. A tombstone has neither operation, amount nor currency."""
    order = transfer.order
    answer: dict[str, Any] = {
        "transfer_id": transfer.transfer_id,
        "state": transfer.state,
        "op": order.op if order else None,
        # With the digits it was sent with: an echo is compared.
        "amount": format(order.amount, "f") if order else None,
        "currency": order.currency if order else None,
    }
    if transfer.wallet_txn_id is not None:
        answer["wallet_txn_id"] = transfer.wallet_txn_id
    if transfer.balance_after is not None:
        answer["balance_after"] = transfer.balance_after
    if transfer.hold_expires_at is not None:
        answer["hold_expires_at"] = shown_time(transfer.hold_expires_at)
    if transfer.error_code is not None:
        answer["error"] = {"code": transfer.error_code, "detail": transfer.error_detail}
    answer["seq"] = transfer.seq
    return answer


def shown_amount(amount: Decimal, scale: int) -> str:
    """Return an amount of the database, which always has eight decimals, with those of its currency."""
    return format_amount(amount.quantize(Decimal(1).scaleb(-scale)), scale)


def shown_time(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
