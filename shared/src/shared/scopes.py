"""Scopes and built-in roles: a wire contract.

Used by credentials, which grants them, and by the siblings, which ask for them.
"""

from typing import Final

#: Scopes only the platform's own credentials hold.
PLATFORM_SCOPES: Final = frozenset({"tenants:read", "tenants:write", "credentials:verify"})

#: Scopes a tenant's credentials may hold, with what they allow.
TENANT_SCOPES: Final[dict[str, str]] = {
    "api_keys:read": "List API keys and their hygiene.",
    "api_keys:write": "Create, change, rotate, revoke and delete API keys.",
    "security_token:read": "See the security token's metadata.",
    "security_token:reveal": "See the security token.",
    "security_token:refresh": "Replace the security token.",
    "roles:read": "List roles.",
    "roles:write": "Create, change and delete roles.",
    "audit:read": "Read and export the audit log.",
    "webhooks:read": "List webhooks and event types.",
    "webhooks:write": "Create, change and delete webhooks and event types; rotate secrets; send test events.",
    "webhooks:reveal": "See a webhook's secret.",
    "events:publish": "Publish events.",
    "events:read": "Read events.",
    "deliveries:read": "Read deliveries, attempts, statistics and the ledger.",
    "deliveries:resend": "Resend, cancel and recover deliveries.",
    "external_wallets:read": "List external wallets.",
    "external_wallets:update": "Create, change and delete external wallets.",
    "external_wallets:reveal": "See an external wallet's API key.",
    "balances:read": "Read balances.",
    "transfers:create": "Start transfers.",
    "transfers:read": "Read transfers and reconciliations.",
    "transfers:resolve": "Resolve transfers that need review; run reconciliations.",
}

#: Scopes that a public (browser-side) key may hold: reading only.
PUBLIC_SCOPES: Final = frozenset(
    {"webhooks:read", "events:read", "deliveries:read", "external_wallets:read", "balances:read", "transfers:read"}
)

#: Scopes for which "cannot verify" always means "no": they move money or cause it to move.
FAIL_CLOSED_SCOPES: Final = frozenset(scope for scope in TENANT_SCOPES if not scope.endswith(":read")) | PLATFORM_SCOPES

BUILT_IN_ROLES: Final[dict[str, frozenset[str]]] = {
    "owner": frozenset(TENANT_SCOPES),
    "developer": frozenset(
        {"api_keys:read", "webhooks:read", "webhooks:write", "webhooks:reveal", "events:publish", "events:read"}
        | {"deliveries:read", "deliveries:resend", "external_wallets:read", "balances:read", "transfers:read"}
    ),
    "support": frozenset(
        {"webhooks:read", "events:read", "deliveries:read", "deliveries:resend", "external_wallets:read"}
        | {"balances:read", "transfers:read"}
    ),
    "auditor": frozenset(scope for scope in TENANT_SCOPES if scope.endswith(":read")),
    "integration": frozenset(
        {"webhooks:read", "events:publish", "events:read", "deliveries:read", "external_wallets:read"}
        | {"balances:read", "transfers:create", "transfers:read"}
    ),
}
