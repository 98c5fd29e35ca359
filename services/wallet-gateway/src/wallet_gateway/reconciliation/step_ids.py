"""The ids by which wallets know our orders, read backwards. Pure."""

import re
from typing import Final
from uuid import UUID

from shared import typeids
from wallet_gateway.transfers.plan import Leg, StepKind, leg_of, order_id

_FORM: Final = re.compile(r"(tr_[0-9a-z]{26})\.(debit|credit|refund)\.1", re.ASCII)
_FIRST: Final[dict[Leg, StepKind]] = {
    "debit": StepKind.DEBIT,
    "credit": StepKind.CREDIT,
    "refund": StepKind.REFUND,
}


def parse_order_id(text: str) -> tuple[UUID, Leg] | None:
    """Return the transfer and leg of an order's id; None for an id that we never give."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    try:
        transfer_id = typeids.decode("tr", match[1])
    except typeids.MalformedIdError:
        return None
    leg: Leg = "debit" if match[2] == "debit" else "credit" if match[2] == "credit" else "refund"
    return transfer_id, leg


def order_id_of(transfer_id: UUID, leg: Leg) -> str:
    """Return the id by which the wallet knows the order of a leg: a hold and what ends it share one."""
    return order_id(transfer_id, _FIRST[leg])


def leg_of_kind(kind: str) -> Leg:
    """Return the leg of a stored step's kind."""
    return leg_of(StepKind(kind))
