"""Every call needs exactly its scope, and an invalid credential is answered the same everywhere."""

import pytest

from support.gateway_service import BASE_URL, GatewayService, Tenant
from support.scope_table import (
    ScopedCall,
    check_invalid_credentials_are_uniform,
    check_refused_without_scope,
    check_scope_suffices,
    documented_calls,
    listed_calls,
)

WALLET, TRANSFER = "ew_01jzzzzzzzzzzzzzzzzzzzzzzz", "tr_01jzzzzzzzzzzzzzzzzzzzzzzz"
RUN, BREAK = "rec_01jzzzzzzzzzzzzzzzzzzzzzzz", "brk_01jzzzzzzzzzzzzzzzzzzzzzzz"
READ, UPDATE, REVEAL = "external_wallets:read", "external_wallets:update", "external_wallets:reveal"
ONE = f"/v1/external-wallets/{WALLET}"
WALLET_CALLS = [
    ("POST", "/v1/external-wallets", UPDATE, 201, {"name": "x", "base_url": BASE_URL}),
    ("GET", "/v1/external-wallets", READ, 200, None),
    ("GET", ONE, READ, 404, None),
    ("PATCH", ONE, UPDATE, 404, {"name": "x"}),
    ("DELETE", ONE, UPDATE, 404, None),
    ("POST", f"{ONE}/enable", UPDATE, 404, None),
    ("POST", f"{ONE}/disable", UPDATE, 404, None),
    ("POST", f"{ONE}/unfreeze", UPDATE, 404, {"evidence": "x"}),
    ("POST", f"{ONE}/api-key/reveal", REVEAL, 404, None),
    ("POST", f"{ONE}/api-key/rotate", UPDATE, 404, None),
    ("POST", f"{ONE}/test-connection", UPDATE, 404, None),
    ("PUT", "/v1/home-wallet", UPDATE, 201, {"base_url": BASE_URL}),
    ("GET", "/v1/home-wallet", READ, 404, None),
    ("POST", "/v1/home-wallet/api-key/reveal", REVEAL, 404, None),
    ("POST", "/v1/home-wallet/api-key/rotate", UPDATE, 404, None),
    ("POST", "/v1/home-wallet/test-connection", UPDATE, 404, None),
    ("GET", f"{ONE}/balances", "balances:read", 404, None),
    ("GET", "/v1/clients/a1b2c3d4/balances", "balances:read", 200, None),
]
SIDES = {"source": {"wallet": "home", "account": "a"}, "target": {"wallet": WALLET, "account": "b"}}
ORDER = {"owner_ref": "a1b2c3d4", **SIDES, "amount": "1.00", "currency": "USD"}
TRANSFER_CALLS = [
    # Let through, it is told that a transfer needs an Idempotency-Key.
    ("POST", "/v1/transfers", "transfers:create", 400, ORDER),
    ("GET", "/v1/transfers", "transfers:read", 200, None),
    ("GET", f"/v1/transfers/{TRANSFER}", "transfers:read", 404, None),
    ("POST", f"/v1/transfers/{TRANSFER}/resolve", "transfers:resolve", 404, {"decision": "failed", "evidence": "x"}),
    ("POST", "/v1/reconciliations", "transfers:resolve", 404, {"external_wallet_id": WALLET}),
    ("GET", "/v1/reconciliations", "transfers:read", 200, None),
    ("GET", f"/v1/reconciliations/{RUN}", "transfers:read", 404, None),
    ("POST", f"/v1/reconciliations/{RUN}/breaks/{BREAK}/resolve", "transfers:resolve", 404, {"evidence": "x"}),
]
#: Any credential will do: the answer is the same refusal for all.
ANY_SCOPE = [("POST", f"{ONE}/deposits"), ("POST", f"{ONE}/withdrawals")]
CALLS = [
    ScopedCall(
        method=method,
        path=f"{path}?owner_ref=a1b2c3d4" if path.startswith(ONE) and path.endswith("/balances") else path,
        scope=scope,
        status=status,
        body=body,
    )
    for method, path, scope, status, body in (*WALLET_CALLS, *TRANSFER_CALLS)
]
EACH_CALL = pytest.mark.parametrize("call", CALLS, ids=str)


def test_the_table_names_every_call(service: GatewayService) -> None:
    """A new route without a line here fails."""
    listed = [call[:2] for call in (*WALLET_CALLS, *TRANSFER_CALLS)] + ANY_SCOPE
    template = {
        WALLET: "{wallet_id}",
        "a1b2c3d4": "{owner_ref}",
        TRANSFER: "{transfer_id}",
        RUN: "{reconciliation_id}",
        BREAK: "{break_id}",
    }
    assert listed_calls(listed, template) == documented_calls(service.app)


@EACH_CALL
async def test_a_call_refuses_a_key_that_lacks_exactly_its_scope(
    service: GatewayService, tenant: Tenant, call: ScopedCall
) -> None:
    """403 that names the scope; nothing is done."""
    await check_refused_without_scope(service, tenant.id, call)


@EACH_CALL
async def test_a_call_needs_nothing_beyond_its_scope(service: GatewayService, tenant: Tenant, call: ScopedCall) -> None:
    """A key with that one scope is let through."""
    await check_scope_suffices(service, tenant.id, call)


@EACH_CALL
async def test_an_invalid_credential_is_answered_the_same_everywhere(service: GatewayService, call: ScopedCall) -> None:
    """One 401, so that it says nothing about why."""
    await check_invalid_credentials_are_uniform(service, call)
