"""Payment platforms: payment, payout, refund, invoice, collection; each succeeds, fails or is pending."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from webhook_dispatcher.event_types import json_schema as s
from webhook_dispatcher.event_types.event_type import EventType

_OUTCOMES: Final = {"succeeded": "has succeeded", "failed": "has failed", "pending": "waits for its outcome"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    name: str
    title: str
    properties: dict[str, s.Schema]
    example: dict[str, Any]


def payment_types() -> Iterator[EventType]:
    """Give the three types of each of the five functions."""
    for function in _FUNCTIONS:
        for outcome, phrase in _OUTCOMES.items():
            description = f"{function.title} {phrase}"
            yield EventType(
                name=f"{function.name}.{outcome}",
                function=function.name,
                description=f"{description}.",
                json_schema=s.document(description, {**_common_properties(outcome), **function.properties}),
                example=_example(function, outcome),
            )


def _common_properties(outcome: str) -> dict[str, s.Schema]:
    properties = {
        "id": s.text("The platform's id of it."),
        "status": s.constant(outcome),
        "amount": s.amount("An exact decimal in the currency's major unit."),
        "currency": s.text("ISO 4217, or the platform's code of a digital currency."),
        "reference": s.text("The merchant's own id of it."),
        "customer_id": s.text(),
        "created_at": s.moment(),
        "metadata": s.anything("The merchant's own fields, as they were given."),
    }
    if outcome == "failed":
        properties["failure"] = s.record({"code": s.text(), "message": s.text()}, "Why it failed.")
    if outcome == "succeeded":
        properties["completed_at"] = s.moment()
    return properties


def _example(function: _Function, outcome: str) -> dict[str, Any]:
    example = {
        "status": outcome,
        "amount": "129.90",
        "currency": "EUR",
        "reference": "order-2026-1187",
        "customer_id": "cus_4821",
        "created_at": "2026-07-01T08:15:42Z",
        "metadata": {"campaign": "summer"},
        **function.example,
    }
    if outcome == "failed":
        example["failure"] = {"code": "insufficient_funds", "message": "The account does not cover the amount."}
    if outcome == "succeeded":
        example["completed_at"] = "2026-07-01T08:15:47Z"
    return example


_FUNCTIONS: Final = (
    _Function(
        name="payment",
        title="A payment from a customer",
        properties={"method": s.text("For example card, bank_transfer, wallet.")},
        example={"id": "pay_7203914", "method": "card"},
    ),
    _Function(
        name="payout",
        title="A payout to a beneficiary",
        properties={
            "method": s.text(),
            "beneficiary": s.record({"name": s.text(), "account": s.text("Masked.")}),
            "fee": s.amount(),
        },
        example={
            "id": "out_5519027",
            "method": "bank_transfer",
            "beneficiary": {"name": "Ada Example", "account": "DE02 **** 2051"},
            "fee": "1.50",
        },
    ),
    _Function(
        name="refund",
        title="A refund of a payment",
        properties={"payment_id": s.text("The payment that is refunded."), "reason": s.text()},
        example={"id": "ref_3381246", "payment_id": "pay_7203914", "reason": "requested_by_customer"},
    ),
    _Function(
        name="invoice",
        title="The payment of an invoice",
        properties={
            "number": s.text("As printed on the invoice."),
            "due_date": {"type": "string", "format": "date"},
            "amount_paid": s.amount(),
        },
        example={"id": "inv_9027745", "number": "2026-00318", "due_date": "2026-07-15", "amount_paid": "129.90"},
    ),
    _Function(
        name="collection",
        title="A collection from a payer's account",
        properties={
            "channel": s.text("For example direct_debit, virtual_account."),
            "payer": s.record({"name": s.text()}),
        },
        example={"id": "col_6640183", "channel": "direct_debit", "payer": {"name": "Ada Example"}},
    ),
)
