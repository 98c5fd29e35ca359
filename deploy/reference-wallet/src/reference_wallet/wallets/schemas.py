"""What balances look like on the wire."""

from datetime import datetime
from typing import Any

from reference_wallet.transfers.answers import shown_amount
from reference_wallet.wallets.repository import Balance
from shared.ewp.fields import format_time


def shown_balance(balance: Balance, *, as_of: datetime) -> dict[str, Any]:
    """Return the JSON of one wallet."""
    return {
        "wallet_id": balance.wallet_id,
        "owner_ref": balance.owner_ref,
        "currency": balance.currency,
        "scale": balance.scale,
        "ledger": shown_amount(balance.ledger, balance.scale),
        "available": shown_amount(balance.ledger - balance.held, balance.scale),
        "held": shown_amount(balance.held, balance.scale),
        "as_of": format_time(as_of),
        "version": balance.version,
    }
