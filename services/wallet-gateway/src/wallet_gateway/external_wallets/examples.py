"""Examples of wallets for the OpenAPI document. A test holds each against its schema."""

from typing import Any

_AT = "2026-11-25T09:30:00Z"
WALLET: dict[str, Any] = {
    "id": "ew_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "is_home": False,
    "name": "Payout partner",
    "base_url": "https://wallet.example.com/causeway",
    "protocol": "ewp/1",
    "response_signatures": "optional",
    "transfer_call": None,
    "timeout_seconds": 10,
    "balance_cache_seconds": 5,
    "step_seconds": 60,
    "metadata": {"team": "payments"},
    "enabled": True,
    "disabled_at": None,
    "frozen": False,
    "frozen_reason": None,
    "frozen_at": None,
    "api_key_id": "key_01j9zq3s8hf3mbq5w7t2k4v6xz",
    "capabilities": {
        "versions": ["ewp/1"],
        "currencies": [{"code": "USD", "scale": 2}],
        "holds": True,
        "holds_expire": False,
        "retention_days": 3650,
        "public_keys": [],
        "feed": True,
    },
    "capabilities_at": _AT,
    "warnings": [],
    "environment": "live",
    "created_at": _AT,
    "created_by": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "updated_at": _AT,
}
# Shortened, so that it is none.
WALLET_CREATED: dict[str, Any] = {**WALLET, "api_key": "ewk_…"}
WALLET_PATCH: dict[str, Any] = {"timeout_seconds": 15, "metadata": {"team": "treasury"}}
ROTATE: dict[str, Any] = {"overlap_seconds": 86_400}
API_KEY: dict[str, Any] = {
    "api_key": "ewk_…",
    "api_key_id": WALLET["api_key_id"],
    "created_at": _AT,
    "previous_expires_at": None,
}
UNFREEZE: dict[str, Any] = {"evidence": "The partner restored its books to seq 10482; compared by hand, ticket 1207."}
CONNECTION_TEST: dict[str, Any] = {
    "ok": False,
    "checks": [
        {"name": "address", "status": "ok", "code": None, "detail": "the address may be called"},
        {"name": "tls", "status": "ok", "code": None, "detail": "the certificate is trusted"},
        {"name": "signature", "status": "failed", "code": "signature_not_taken", "detail": "our signature was refused"},
        {"name": "clock_skew", "status": "ok", "code": None, "detail": "the clocks differ by 1 s"},
        {
            "name": "capabilities",
            "status": "skipped",
            "code": None,
            "detail": "not asked, since a check before it failed",
        },
    ],
    "capabilities": None,
}


def shown(example: dict[str, Any]) -> dict[str, Any]:
    """Return the ``json_schema_extra`` of a model with one example."""
    return {"examples": [example]}
