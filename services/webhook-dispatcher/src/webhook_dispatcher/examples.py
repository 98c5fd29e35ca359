"""Examples for the OpenAPI document: one withdrawal's event, its webhook and its delivery, told throughout."""

import json
from typing import Any, Final

_ID: Final = "01j9zq3s8hf3mbq5w7t2k4v6xy"
EVENT_ID: Final = "wr-7f3k2m9q-approved-2"
_URL: Final = "https://payouts.example.com/causeway"
_TYPE: Final = "withdrawal.approved.node.2"
_DATA: Final[dict[str, Any]] = {
    "id": "7f3k2m9q",
    "type": "withdrawal",
    "status": "approved",
    "withdrawal_amount": "250.00",
}
_BODY: Final = json.dumps(
    {
        "id": EVENT_ID,
        "type": _TYPE,
        "timestamp": "2026-11-25T12:00:00Z",
        "subject": "7f3k2m9q",
        "data": _DATA,
    },
    separators=(",", ":"),
)

PUBLISHED_EVENT: Final[dict[str, Any]] = {
    "id": EVENT_ID,
    "type": _TYPE,
    "subject": "7f3k2m9q",
    "occurred_at": "2026-11-25T12:00:00Z",
    "data": _DATA,
}
PUBLISHED: Final[dict[str, Any]] = {"accepted": 1, "duplicates": 0, "ids": [EVENT_ID]}
WEBHOOK_IN: Final[dict[str, Any]] = {
    "name": "Payout processor",
    "url": _URL,
    "events": ["withdrawal.approved.node.2", "withdrawal.rejected"],
}
PUBLIC_KEY: Final[dict[str, Any]] = {
    "public_key": "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    "expires_at": None,
}
WEBHOOK: Final[dict[str, Any]] = {
    "id": f"wh_{_ID}",
    **WEBHOOK_IN,
    "trigger": "first",
    "format": "standard",
    "crm_signature": "hex",
    "signature_header": None,
    "ed25519": True,
    "public_keys": [PUBLIC_KEY],
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "headers": {"X-Region": "eu"},
    "retry_delays_seconds": [5, 30, 120, 600],
    "timeout_seconds": 15,
    "max_in_flight": 20,
    "rate_per_second": None,
    "ordered": False,
    "description": None,
    "metadata": {},
    "environment": "live",
    "created_at": "2026-11-01T08:15:42Z",
    "created_by": f"key_{_ID}",
    "updated_at": "2026-11-01T08:15:42Z",
}
_SECRET: Final = "whsec_…"  # noqa: S105 - no secret, but where one stands
WEBHOOK_CREATED: Final[dict[str, Any]] = {**WEBHOOK, "secret": _SECRET}
SECRET: Final[dict[str, Any]] = {
    "secret": _SECRET,
    "created_at": "2026-11-25T12:00:00Z",
    "previous_expires_at": "2026-11-26T12:00:00Z",
    "public_keys": [PUBLIC_KEY],
}
TEST_SENT: Final[dict[str, Any]] = {"event_id": f"evt_{_ID}", "delivery_id": f"dlv_{_ID}"}
DELIVERY: Final[dict[str, Any]] = {
    "id": f"dlv_{_ID}",
    "webhook_id": f"wh_{_ID}",
    "event_id": EVENT_ID,
    "event_type": _TYPE,
    "subject": "7f3k2m9q",
    "status": "delivered",
    "attempts": 1,
    "next_attempt_at": None,
    "finished_at": "2026-11-25T12:00:01Z",
    "last_response_status": 200,
    "last_error_code": None,
    "environment": "live",
    "test": False,
    "created_at": "2026-11-25T12:00:00Z",
}
_ATTEMPT: Final[dict[str, Any]] = {
    "id": f"att_{_ID}",
    "number": 1,
    "started_at": "2026-11-25T12:00:00.012Z",
    "duration_ms": 48.2,
    "outcome": "delivered",
    "error_code": None,
    "request": {
        "url": _URL,
        "headers": [
            ["content-type", "application/json"],
            ["webhook-id", EVENT_ID],
            ["webhook-timestamp", "1795694400"],
            ["webhook-signature", "v1,…"],
        ],
        "body": _BODY,
    },
    "response": {"status": 200, "headers": [["content-type", "text/plain"]], "body": "ok", "truncated": False},
}
DELIVERY_WITH_ATTEMPTS: Final[dict[str, Any]] = {**DELIVERY, "attempt_log": [_ATTEMPT]}
EVENT: Final[dict[str, Any]] = {
    **PUBLISHED_EVENT,
    "environment": "live",
    "test": False,
    "matched": 1,
    "body": _BODY,
}
EVENT_WITH_DELIVERIES: Final[dict[str, Any]] = {**EVENT, "deliveries": [DELIVERY]}
LEDGER: Final[dict[str, Any]] = {
    "accepted": 120,
    "matched": 150,
    "delivered": 140,
    "pending": 4,
    "held": 3,
    "failed": 2,
    "cancelled": 1,
    "in_flight": 2,
    "balanced": True,
}


def shown(example: dict[str, Any]) -> dict[str, Any]:
    """Return what a model's configuration takes as ``json_schema_extra``."""
    return {"examples": [example]}
