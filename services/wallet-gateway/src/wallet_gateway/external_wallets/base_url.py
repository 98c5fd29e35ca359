"""Which base URLs a wallet may have. Pure.

The address guard's rules for any destination, and on top: no query, no empty or dot segments, and nothing that would be sent in
another form than it is written. What is called is always a path below it.
"""

import re

from shared.egress import AddressPolicy, Destination, DestinationRefused, parse_destination
from shared.telemetry import holds_secret
from wallet_gateway.external_wallets.errors import BaseUrlNotAllowed

BASE_URL_CHARS_MAX = 1024
"""So that every path below it fits into a URL."""

_SHAPE = re.compile(r"(?P<origin>https?://[^/?#]*)(?P<path>[^?#]*)(?P<query>\??)", re.IGNORECASE)


def check_base_url(text: str, *, policy: AddressPolicy) -> Destination:
    """Return the destination; raises BaseUrlNotAllowed that says why."""
    if holds_secret(text):
        # It is shown, logged and audited: no place for one of our own credentials.
        raise BaseUrlNotAllowed("The URL holds a credential; treat that one as leaked.")
    if len(text) > BASE_URL_CHARS_MAX:
        raise BaseUrlNotAllowed(f"A base URL has at most {BASE_URL_CHARS_MAX} characters.")
    try:
        destination = parse_destination(text, policy=policy)
        _refuse_detours(text, destination, policy)
    except DestinationRefused as exc:
        raise BaseUrlNotAllowed(str(exc)) from exc
    return destination


def _refuse_detours(text: str, destination: Destination, policy: AddressPolicy) -> None:
    """Raise DestinationRefused for a query, and for a path that could lead elsewhere or is not written as it is sent."""
    shape = _SHAPE.match(text)
    assert shape is not None  # it has just been parsed as a destination
    if shape["query"]:
        raise DestinationRefused("base_has_query", "a base URL cannot have a query")
    if shape["path"] in {"", "/"}:
        return
    below = parse_destination(shape["origin"], policy=policy).child(shape["path"])
    if below.target != destination.target:
        raise DestinationRefused("not_canonical", "the path is not written as it would be sent")
