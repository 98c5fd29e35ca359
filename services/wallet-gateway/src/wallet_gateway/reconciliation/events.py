"""What the dispatcher is told of a break: the outbox's row. Pure."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from shared import typeids
from wallet_gateway.reconciliation.comparison import Break


def outbox_row_of(
    found: Break, *, break_id: UUID, reconciliation_id: UUID, wallet_id: UUID, now: datetime
) -> dict[str, Any]:
    """Return the row of one break; its event's id is the break's, so that it counts once."""
    wallet = typeids.encode("ew", wallet_id)
    event_id = f"{typeids.encode('rec', reconciliation_id)}.{break_id.hex}"
    event = {
        "id": event_id,
        "type": "wallet.reconciliation_break",
        "subject": wallet,
        "occurred_at": now,
        "data": {
            "reconciliation_id": typeids.encode("rec", reconciliation_id),
            "external_wallet_id": wallet,
            "kind": found.kind,
            "step_id": found.step_id,
            "wallet_txn_id": found.wallet_txn_id,
            "ours": found.ours,
            "theirs": found.theirs,
        },
        "ordering_key": wallet,
    }
    return {
        "event_id": event_id,
        "ordering_key": wallet,
        "body": orjson.dumps(event, option=orjson.OPT_UTC_Z),
    }
