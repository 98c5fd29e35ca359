"""A key as the document shows it, in each of its forms."""

from collections.abc import Mapping
from typing import Any

VIEW: Mapping[str, Any] = {
    "id": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "name": "Payout processor",
    "kind": "secret",
    "environment": "live",
    "prefix": "cw_sk_live_Yx3k",
    "last_four": "9fQ2",
    "scopes": ["events:publish", "deliveries:read"],
    "roles": [],
    "allowed_cidrs": ["192.0.2.0/24"],
    "metadata": {"team": "payments"},
    "status": "active",
    "created_at": "2026-01-01T12:00:00Z",
    "created_by": "key_01j9zq1n5xe7b8r2m3t4v6w8zd",
    "expires_at": "2030-01-01T00:00:00Z",
    "last_used_at": "2026-02-03T04:05:06Z",
    "last_used_ip": "192.0.2.7",
    "versions": [
        {
            "number": 1,
            "status": "active",
            "created_at": "2026-01-01T12:00:00Z",
            "ends_at": None,
            "last_used_at": "2026-02-03T04:05:06Z",
        }
    ],
}
_UNUSED = {
    "last_used_at": None,
    "last_used_ip": None,
    "versions": [{**version, "last_used_at": None} for version in VIEW["versions"]],
}
CREATED: Mapping[str, Any] = {**VIEW, **_UNUSED, "key": "cw_sk_live_Yx3k…9fQ2"}
CREATED_PUBLIC: Mapping[str, Any] = {
    **CREATED,
    "id": "key_01j9zq3s8hf3mbq5w7t2k4v6xz",
    "name": "Public key",
    "kind": "public",
    "prefix": "cw_pk_live_Ab7d",
    "last_four": "x0Zk",
    "scopes": ["events:read"],
    "key": "cw_pk_live_Ab7d…x0Zk",
}


def shown(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model's configuration takes as ``json_schema_extra``."""
    return {"examples": [dict(example)]}
