"""Outbound HTTP behind the address guard. Users: webhook-dispatcher (deliveries), wallet-gateway (external wallets).

``AddressPolicy`` says which addresses may be reached, ``parse_destination`` judges a URL when it is registered, and
``EgressClient`` sends requests; every connection's final address is judged again. Errors: ``errors.py``.
"""

from shared.egress.address_guard import BLOCKED_PORTS, AddressPolicy
from shared.egress.client import RESPONSE_BYTES_MAX, EgressClient, EgressResponse
from shared.egress.destination import URL_CHARS_MAX, Destination, parse_destination, place_of
from shared.egress.errors import (
    AddressBlocked,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DestinationRefused,
    EgressClosed,
    EgressError,
    NameNotResolved,
    NotSent,
    RequestRefused,
    ResponseBroken,
    ResponseMalformed,
    SentUnknown,
    TlsFailed,
)
from shared.egress.request_head import RESERVED_HEADERS, header_name_allowed

__all__ = [
    "BLOCKED_PORTS",
    "RESERVED_HEADERS",
    "RESPONSE_BYTES_MAX",
    "URL_CHARS_MAX",
    "AddressBlocked",
    "AddressPolicy",
    "ConnectFailed",
    "ConnectTimeout",
    "DeadlineExceeded",
    "Destination",
    "DestinationRefused",
    "EgressClient",
    "EgressClosed",
    "EgressError",
    "EgressResponse",
    "NameNotResolved",
    "NotSent",
    "RequestRefused",
    "ResponseBroken",
    "ResponseMalformed",
    "SentUnknown",
    "TlsFailed",
    "header_name_allowed",
    "parse_destination",
    "place_of",
]
