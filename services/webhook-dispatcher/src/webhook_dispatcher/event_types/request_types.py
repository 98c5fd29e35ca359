"""The CRM's requests: withdrawal, participation in prop trading, its live stage, transfer between accounts, KYC.

Fields as the CRM documents them; each function has one schema for its approvals, at whichever node, and one for its rejection.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from webhook_dispatcher.event_types import json_schema as s
from webhook_dispatcher.event_types.event_type import APPROVER_NODE_MAX, EventType

_TRADING_ID: Final[s.Schema] = {
    "anyOf": [{"type": "number"}, {"const": "WALLET"}],
    "description": "A trading account's number, or \"WALLET\" for the CRM's wallet.",
}
_FLOW: Final = s.record({"total_steps": s.integer(), "current_steps": s.integer()}, "How far the approval has come.")
_UNKNOWN_FLOW: Final = s.anything("On approval; its keys are the CRM's own.")
_ALSO_WITHOUT_STEPS: Final = ", or at all where multi-step approval is off"
_FIELD_VALUE: Final[s.Schema] = {"type": ["string", "object", "array"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    name: str
    title: str
    data_type: str
    properties: dict[str, s.Schema]
    example: dict[str, Any]
    approved_properties: dict[str, s.Schema]
    #: What an example has beyond ``example`` at an approver node; node 0 stands for a rejection.
    at_node: Callable[[int], dict[str, Any]]


def request_types() -> Iterator[EventType]:
    """Give the types of all request functions: approvals by node, then the rejection."""
    for function in (_WITHDRAWAL, _PROP_TRADING, _PROP_TRADING_LIVE, _TRANSFER, _KYC):
        yield from _types_of(function)


def _types_of(function: _Function) -> Iterator[EventType]:
    properties = {**_common_properties(function.data_type), **function.properties}
    approved = s.document(f"{function.title}, approved", {**properties, **function.approved_properties})
    for node in range(1, APPROVER_NODE_MAX + 1):
        yield EventType(
            name=f"{function.name}.approved.node.{node}",
            function=function.name,
            description=f"{function.title} was approved at approver node {node}{_ALSO_WITHOUT_STEPS if node == 1 else ''}.",
            json_schema=approved,
            example=_example(function, status="approved", node=node),
        )
    yield EventType(
        name=f"{function.name}.rejected",
        function=function.name,
        description=f"{function.title} was rejected.",
        json_schema=s.document(f"{function.title}, rejected", properties),
        example=_example(function, status="rejected", node=0),
    )


def _common_properties(data_type: str) -> dict[str, s.Schema]:
    return {
        "id": s.text("The request's id: 8 lower-case letters and digits."),
        "type": s.constant(data_type),
        "status": s.choice("approved", "pending", "rejected"),
        "user_id": s.text("The client's id: 8 characters."),
        "request_time": {
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$",
            "description": "YYYY-MM-DD HH:MM:SS, UTC.",
        },
    }


def _example(function: _Function, *, status: str, node: int) -> dict[str, Any]:
    return {
        "id": "k3f9x2ab",
        "type": function.data_type,
        "status": status,
        "user_id": "a1b2c3d4",
        "request_time": "2026-07-01 08:15:42",
        **function.example,
        **function.at_node(node),
    }


def _steps(name: str) -> Callable[[int], dict[str, Any]]:
    return lambda node: {name: {"total_steps": max(node, 2), "current_steps": max(node, 1)}}


def _opaque_flow(node: int) -> dict[str, Any]:
    return {"prop_trading_flow": {}} if node else {}


_WITHDRAWAL: Final = _Function(
    name="withdrawal",
    title="A withdrawal request",
    data_type="withdrawal",
    properties={
        "trading_id": _TRADING_ID,
        "trading_platform": s.text(),
        "trading_connection_id": s.text(),
        "trading_currency": s.text(),
        "trading_amount": s.amount("What leaves the account, in its currency."),
        "withdrawal_method": s.text(),
        "withdrawal_currency": s.text(),
        "exchange_rate": s.amount("Trading currency to withdrawal currency."),
        "withdrawal_fee": s.amount(),
        "withdrawal_amount": s.amount("What the client gets, in the withdrawal currency."),
        "external_order_id": s.text(),
        "converted_amount": s.number(),
        "custom_fields": s.items(
            s.record(
                {"key": s.text(), "type": s.text(), "label": s.by_language("By language."), "value": _FIELD_VALUE}
            ),
            "What the client filled in for this method.",
        ),
    },
    example={
        "trading_id": 80012345,
        "trading_platform": "MT5",
        "trading_connection_id": "mt5live1",
        "trading_currency": "USD",
        "trading_amount": "250.00",
        "withdrawal_method": "bank_transfer",
        "withdrawal_currency": "EUR",
        "exchange_rate": "0.92",
        "withdrawal_fee": "5.00",
        "withdrawal_amount": "225.40",
        "external_order_id": "WD-2026-000482",
        "converted_amount": 230.0,
        "custom_fields": [
            {"key": "iban", "type": "text", "label": {"en": "IBAN"}, "value": "DE02120300000000202051"},
            {"key": "account_holder", "type": "text", "label": {"en": "Account holder"}, "value": "Ada Example"},
        ],
    },
    approved_properties={},
    at_node=lambda _node: {},
)

_PROP_TRADING: Final = _Function(
    name="prop_trading",
    title="A request to take part in prop trading",
    data_type="prop_trading",
    properties={
        "package_name": s.by_language("The package's name by language."),
        "registration_fee": s.number(),
        "payment_total": s.number(),
        "payment_fee": s.number(),
        "fee_type": s.choice("balance_deduct", "new_deposit"),
        "payment_platform": s.text(),
        "payment_currency": s.text(),
        "payment_trading_id": s.text(),
        "payment_connection_id": s.text(),
    },
    example={
        "package_name": {"en": "Evaluation 50K", "de": "Bewertung 50K"},
        "registration_fee": 299,
        "payment_total": 304.5,
        "payment_fee": 5.5,
        "fee_type": "balance_deduct",
        "payment_platform": "MT5",
        "payment_currency": "USD",
        "payment_trading_id": "80012345",
        "payment_connection_id": "mt5live1",
    },
    approved_properties={"prop_trading_flow": _UNKNOWN_FLOW},
    at_node=_opaque_flow,
)

_PROP_TRADING_LIVE: Final = _Function(
    name="prop_trading_live",
    title="A request for the live stage of prop trading",
    data_type="prop_trading_live_step",
    properties={
        "package_name": s.by_language("The package's name by language."),
        "platform": s.text(),
        "connection_id": s.text(),
        "group": s.text(),
        "leverage": s.amount(),
        "initial_balance": s.amount(),
        "max_daily_loss_percent": s.amount(),
        "max_loss_percent": s.amount(),
        "profit_target_percent": s.amount(),
    },
    example={
        "package_name": {"en": "Evaluation 50K"},
        "platform": "MT5",
        "connection_id": "mt5live1",
        "group": "prop\\live-50k",
        "leverage": 50,
        "initial_balance": "50000",
        "max_daily_loss_percent": 5,
        "max_loss_percent": 10,
        "profit_target_percent": 8,
    },
    approved_properties={"prop_trading_flow": _UNKNOWN_FLOW},
    at_node=_opaque_flow,
)

_TRANSFER: Final = _Function(
    name="transfer",
    title="A transfer request",
    data_type="transfer",
    properties={
        **{
            f"{side}_{name}": schema
            for side in ("source", "target")
            for name, schema in {
                "trading_id": _TRADING_ID,
                "platform": s.text(),
                "connection_id": s.text(),
                "amount": s.amount(),
                "currency": s.text(),
            }.items()
        },
        **{f"beneficiary_{name}": s.text() for name in ("name", "email", "phone", "user_id")},
        "rate": s.number(),
        "rate2": s.number(),
        "source_input": s.boolean("Whether the client entered the source's amount rather than the target's."),
        "transfer_type": s.choice("oneself", "others"),
        "transfer_flow": _FLOW,
    },
    example={
        "source_trading_id": "WALLET",
        "source_platform": "wallet",
        "source_connection_id": "",
        "source_amount": "100.00",
        "source_currency": "USD",
        "target_trading_id": 80012345,
        "target_platform": "MT5",
        "target_connection_id": "mt5live1",
        "target_amount": "92.00",
        "target_currency": "EUR",
        "beneficiary_name": "Ada Example",
        "beneficiary_email": "ada@example.com",
        "beneficiary_phone": "+49 30 901820",
        "beneficiary_user_id": "a1b2c3d4",
        "rate": 0.92,
        "rate2": 1,
        "source_input": True,
        "transfer_type": "oneself",
    },
    approved_properties={},
    at_node=_steps("transfer_flow"),
)

_KYC: Final = _Function(
    name="kyc",
    title="A KYC submission",
    data_type="kyc",
    properties={
        "form_id": s.text(),
        "collection_id": s.text(),
        "kyc_fields": s.items(
            s.record(
                {
                    "key": s.text(),
                    "type": s.text(),
                    "label": s.by_language("By language."),
                    "value": _FIELD_VALUE,
                    "group_id": s.text(),
                }
            )
        ),
        "kyc_flow": _FLOW,
    },
    example={
        "form_id": "individual",
        "collection_id": "c7d8e9f0",
        "kyc_fields": [
            {"key": "first_name", "type": "text", "label": {"en": "First name"}, "value": "Ada", "group_id": "person"},
            {"key": "country", "type": "select", "label": {"en": "Country"}, "value": "DE", "group_id": "address"},
        ],
    },
    approved_properties={},
    at_node=_steps("kyc_flow"),
)
