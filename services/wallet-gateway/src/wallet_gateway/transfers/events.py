"""What the dispatcher is told when a transfer ends or needs a person: the event, exactly as it is published. Pure."""

from datetime import datetime
from typing import Any, Final

import orjson

from shared import typeids
from shared.ewp.money import format_amount, scale_of
from wallet_gateway.transfers.plan import End
from wallet_gateway.transfers.transfer import Account, Transfer

_TYPES: Final = {
    "completed": "transfer.completed",
    "failed": "transfer.failed",
    "reversed": "transfer.reversed",
    "manual_review": "transfer.needs_review",
}


def wallet_name(account: Account) -> str:
    """Return ``home``, or the wallet's ``ew_…`` id."""
    return "home" if account.is_home else typeids.encode("ew", account.wallet_id)


def row_of(transfer: Transfer, end: End, *, revision: int, now: datetime) -> dict[str, Any]:
    """Return the outbox's row: the event's id is the same however often the record is written."""
    transfer_id = typeids.encode("tr", transfer.id)
    event_id = f"{transfer_id}.{_TYPES[end.status].partition('.')[2]}.{revision}"
    event = {
        "id": event_id,
        "type": _TYPES[end.status],
        "subject": transfer_id,
        "occurred_at": now,
        "data": {
            "transfer_id": transfer_id,
            "status": end.status,
            "owner_ref": transfer.owner_ref,
            "source": _leg(transfer.source),
            "target": _leg(transfer.target),
            "amount": format_amount(transfer.amount, scale_of(transfer.currency)),
            "currency": transfer.currency,
            "reference": transfer.reference,
            **({"failure": {"code": end.failure.code, "detail": end.failure.detail}} if end.failure else {}),
        },
        "ordering_key": transfer_id,
    }
    return {
        "event_row_id": str(typeids.new_id()),
        "event_id": event_id,
        "event_key": transfer_id,
        "event_body": orjson.dumps(event, option=orjson.OPT_UTC_Z).decode(),
    }


def _leg(account: Account) -> dict[str, str]:
    return {"wallet": wallet_name(account), "account": account.account}
