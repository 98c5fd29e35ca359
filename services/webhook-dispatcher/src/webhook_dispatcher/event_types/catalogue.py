"""The built-in event types, made once per process at first use. Pure."""

import re
from functools import cache
from itertools import chain
from typing import Final

from webhook_dispatcher.event_types.data_schema import DataSchema
from webhook_dispatcher.event_types.event_type import EventType
from webhook_dispatcher.event_types.own_types import gateway_transfer_types, operational_types
from webhook_dispatcher.event_types.payment_types import payment_types
from webhook_dispatcher.event_types.request_types import request_types

REQUEST_FUNCTIONS: Final = frozenset({"withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc"})
"""Functions whose events belong to a request: ``subject`` is required."""
FUNCTIONS: Final = (
    *("withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc"),
    *("payment", "payout", "refund", "invoice", "collection"),
    *("credential", "webhook", "wallet"),
)
"""All built-in functions, in the order of the list."""

_REQUEST_OUTCOME: Final = re.compile(r"\.(?:approved\.node\.[0-9]+|rejected)", re.ASCII)


def all_types() -> tuple[EventType, ...]:
    """Return every type, by function, in the order of a request's life."""
    return tuple(_by_name().values())


def find(name: str) -> EventType | None:
    """Return the type of that name, or None."""
    return _by_name().get(name)


def is_known(name: str) -> bool:
    """Tell whether there is a type of that name."""
    return name in _by_name()


def function_of(type_name: str) -> str:
    """Return the function a type belongs to: what stands before the first dot, also for names that are not known."""
    return type_name.partition(".")[0]


def decides_request(type_name: str) -> bool:
    """Tell whether a type tells of a decision about a request, an approval or the rejection: ``trigger: first`` sends one.

    What the gateway reports under ``transfer`` are outcomes of a movement, each another one: all of them are sent.
    """
    function = function_of(type_name)
    return function in REQUEST_FUNCTIONS and _REQUEST_OUTCOME.fullmatch(type_name, len(function)) is not None


def data_schema(name: str) -> DataSchema | None:
    """Return what checks the ``data`` of a built-in type, compiled at first use; None for any other name."""
    event_type = _by_name().get(name)
    return None if event_type is None else _compiled(event_type.name)


@cache
def _compiled(name: str) -> DataSchema:
    schema = _by_name()[name].json_schema
    # The ten approvals of a function share one schema, and so one validator.
    first = next(item.name for item in _by_name().values() if item.json_schema is schema)
    return DataSchema(schema) if first == name else _compiled(first)


@cache
def _by_name() -> dict[str, EventType]:
    types = sorted(
        chain(request_types(), gateway_transfer_types(), payment_types(), operational_types()),
        # Stable: within a function the order stays; the gateway's transfers join the CRM's.
        key=lambda event_type: FUNCTIONS.index(event_type.function),
    )
    return {event_type.name: event_type for event_type in types}
