"""The body of a PUT. Wider than what Causeway itself sends: a wallet answers an order that it cannot carry out with a code.

A currency that it does not keep and decimals that the currency does not have are definitive rejections, not malformed.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reference_wallet.transfers.rules import Order
from shared.ewp.fields import Amount, Ref, Time

CURRENCY_PATTERN = r"^[A-Z]{3}$"


class OrderBody(BaseModel):
    """What is to be moved; unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    op: Literal["credit", "debit"]
    mode: Literal["hold", "direct"]
    wallet_id: Ref
    owner_ref: Ref
    amount: Annotated[Amount, Field(gt=0)]
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN)]
    not_after: Time
    reference: Annotated[str, Field(max_length=256)] | None = None

    def order(self) -> Order:
        """Return what the rules decide about."""
        values: dict[str, Any] = {name: getattr(self, name) for name in OrderBody.model_fields}
        return Order(**values)
