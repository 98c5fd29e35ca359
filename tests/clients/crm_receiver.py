"""A receiver of the CRM's older webhooks, as an integrator writes one: from the CRM's own description alone.

The standard library is all it uses. What it knows the CRM's public documents say: header ``X-Crm-Signature``, lower-case hex
HMAC-SHA256 of the body under the secret, bare or after ``sha256=``; the envelope; slugs and groups; the fields of each function.
"""

import hashlib
import hmac
import json
import re
from decimal import Decimal
from typing import Any

DATA_TYPES = {
    "withdrawal": "withdrawal",
    "propTrading": "prop_trading",
    "propTradingLive": "prop_trading_live_step",
    "transfer": "transfer",
    "kyc": "kyc",
}
NUMBERS = {
    "withdrawal": {"converted_amount"},
    "propTrading": {"registration_fee", "payment_total", "payment_fee"},
    "propTradingLive": set(),
    "transfer": {"rate", "rate2"},
    "kyc": set(),
}
SLUG = re.compile(r"crm\.webhooks\.requests\.(\w+)\.(?:approve\.node\.([1-9]|10)|reject)")


class RefusedError(Exception):
    """The request is not one of the CRM's."""


def receive(headers: dict[str, str], body: bytes, *, secret: str, form: str, name: str) -> dict[str, Any]:
    """Return ``{function, node, data}`` of a request; ``form`` is ``hex`` or ``prefixed``. Raises RefusedError."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if form == "prefixed":
        expected = "sha256=" + expected
    sent = {key.lower(): value for key, value in headers.items()}.get("x-crm-signature", "")
    if not hmac.compare_digest(expected.encode(), sent.encode()):
        raise RefusedError("signature")
    envelope = json.loads(body, parse_float=Decimal)
    if list(envelope) != ["source", "target", "version", "data"] or envelope["version"] != "1.0.0":
        raise RefusedError("envelope")
    if envelope["target"] != {"name": name}:
        raise RefusedError("target")
    source = envelope["source"]
    slug = SLUG.fullmatch(source["event"])
    if list(source) != ["service", "group", "event"] or source["service"] != "requests" or slug is None:
        raise RefusedError("source")
    function, node = slug.groups()
    if source["group"] != f"crm.webhooks.groups.requests.{function}":
        raise RefusedError("group")
    check_data(function, envelope["data"], approved=node is not None)
    return {"function": function, "node": int(node) if node else None, "data": envelope["data"]}


def check_data(function: str, data: dict[str, Any], *, approved: bool) -> None:
    """Check what every request has, and what its function adds."""
    if data["type"] != DATA_TYPES[function] or data["status"] != ("approved" if approved else "rejected"):
        raise RefusedError("data")
    if not re.fullmatch("[a-z0-9]{8}", data["id"]) or len(data["user_id"]) != 8:
        raise RefusedError("ids")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["request_time"]):
        raise RefusedError("request_time")
    for field in NUMBERS[function] & data.keys():
        if not isinstance(data[field], int | Decimal):
            raise RefusedError(field)
