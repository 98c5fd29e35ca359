"""External wallets: registering, listing, changing, enabling, deleting."""

import json
from typing import Any

import pytest

from shared import typeids
from shared.ewp.messages import WellKnown
from support.gateway_service import BASE_URL, GatewayService, Tenant

JSON = {"content-type": "application/json"}
CALL = {
    "transfer_path": "/transfers",
    "method": "POST",
    "fields": {"op": "type", "owner_ref": "external_user_id", "amount": "amount", "currency": "currency"},
    "success_field": "status",
    "success_value": "done",
}


async def test_a_new_wallet_is_shown_with_its_key_once(service: GatewayService, tenant: Tenant) -> None:
    """201 with `api_key` and `api_key_id`, not to be stored by anybody; after that it is shown without the key."""
    answer = await tenant.owner.post("/v1/external-wallets", json={"name": "Partner", "base_url": BASE_URL})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    assert made["api_key"].startswith("ewk_")
    assert made["api_key_id"].startswith("key_")
    assert made["id"].startswith("ew_")
    defaults = {
        "protocol": "ewp/1",
        "response_signatures": "optional",
        "timeout_seconds": 10,
        "balance_cache_seconds": 5,
        "step_seconds": 60,
        "transfer_call": None,
        "enabled": True,
        "frozen": False,
        "frozen_reason": None,
        "is_home": False,
        "warnings": [],
        "capabilities": None,
        "environment": "live",
        "metadata": {},
    }
    assert {name: made[name] for name in defaults} == defaults
    shown = (await tenant.owner.get(f"/v1/external-wallets/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "api_key"}
    (entry,) = await service.rows(
        "SELECT * FROM audit_entries WHERE tenant_id = (SELECT tenant_id FROM"
        " external_wallets ORDER BY id DESC LIMIT 1)"
    )
    assert (entry.action, entry.target) == ("wallet.created", made["id"])
    assert made["api_key"] not in str(entry)


async def test_a_repeated_creation_comes_without_the_key(service: GatewayService, tenant: Tenant) -> None:
    """The Idempotency-Key gives the same wallet again, and never the secret; another body is refused."""
    body = {"name": "Partner", "base_url": BASE_URL, "api_key": "own-key-of-at-least-24-bytes"}
    headers = {"idempotency-key": "first"}
    first = await tenant.owner.post("/v1/external-wallets", json=body, headers=headers)
    again = await tenant.owner.post("/v1/external-wallets", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["api_key"] == body["api_key"]
    assert again.json() == {name: value for name, value in first.json().items() if name != "api_key"}
    assert (again.headers["idempotency-replayed"], again.headers["cache-control"]) == ("true", "no-store")
    kept = await service.rows("SELECT body FROM idempotency_keys WHERE key = 'first'")
    assert body["api_key"].encode() not in kept[0].body
    other = await tenant.owner.post("/v1/external-wallets", json={**body, "name": "Other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_the_list_is_newest_first_and_filtered(tenant: Tenant) -> None:
    """By part of name or URL, and by whether it is enabled; the home wallet is not in it; pages follow one another."""
    await tenant.new_home()
    ids = [(await tenant.new_wallet(name=name))["id"] for name in ("Alpha", "Beta", "Gamma")]
    await tenant.owner.post(f"/v1/external-wallets/{ids[0]}/disable")

    async def listed(**query: Any) -> list[str]:
        answer = await tenant.owner.get("/v1/external-wallets", params=query)
        assert answer.status_code == 200, answer.text
        return [wallet["id"] for wallet in answer.json()["data"]]

    assert await listed() == ids[::-1]
    assert await listed(q="bET") == [ids[1]]
    assert await listed(enabled=False) == [ids[0]]
    page = (await tenant.owner.get("/v1/external-wallets", params={"limit": 2})).json()
    assert [wallet["id"] for wallet in page["data"]] == [ids[2], ids[1]]
    rest = (await tenant.owner.get("/v1/external-wallets", params={"cursor": page["next_cursor"]})).json()
    assert ([wallet["id"] for wallet in rest["data"]], rest["next_cursor"]) == ([ids[0]], None)


async def test_a_change_touches_what_was_sent_alone(service: GatewayService, tenant: Tenant) -> None:
    """And what another server could do is forgotten when the address changes."""
    made = await tenant.new_wallet()
    path = f"/v1/external-wallets/{made['id']}"
    known = WellKnown(versions=["ewp/1"], currencies=[], holds=True, retention_days=1, feed=True).to_json().decode()
    await service.rows("UPDATE external_wallets SET capabilities = CAST(:known AS jsonb)", known=known)
    changed = await tenant.owner.patch(path, json={"timeout_seconds": 3, "metadata": {"team": "payouts"}})
    assert changed.status_code == 200, changed.text
    unchanged = {"id", "name", "base_url", "balance_cache_seconds", "step_seconds", "api_key_id", "created_at"}
    assert {name: changed.json()[name] for name in unchanged} == {name: made[name] for name in unchanged}
    assert (changed.json()["timeout_seconds"], changed.json()["metadata"]) == (3, {"team": "payouts"})
    assert changed.json()["capabilities"]["holds"] is True
    moved = await tenant.owner.patch(path, json={"base_url": "https://other.example.com"})
    assert (moved.json()["base_url"], moved.json()["capabilities"]) == ("https://other.example.com", None)
    assert (await service.audit("wallet.changed"))[-1] == {"base_url": "https://other.example.com"}


async def test_enabling_and_disabling(service: GatewayService, tenant: Tenant) -> None:
    """Both are shown, audited, and harmless when repeated."""
    made = await tenant.new_wallet()
    path = f"/v1/external-wallets/{made['id']}"
    for _ in range(2):
        disabled = (await tenant.owner.post(f"{path}/disable")).json()
        assert (disabled["enabled"], disabled["disabled_at"] is None) == (False, False)
    for _ in range(2):
        enabled = (await tenant.owner.post(f"{path}/enable")).json()
        assert (enabled["enabled"], enabled["disabled_at"]) == (True, None)
    assert len(await service.audit("wallet.disabled")) >= 2
    assert len(await service.audit("wallet.enabled")) >= 2


async def test_a_deleted_wallet_is_gone_and_so_are_its_keys(service: GatewayService, tenant: Tenant) -> None:
    """Its row stays for what names it, and no call reaches it."""
    made = await tenant.new_wallet()
    path = f"/v1/external-wallets/{made['id']}"
    assert (await tenant.owner.delete(path)).status_code == 204
    for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/api-key/reveal")):
        assert (await tenant.owner.request(method, path + below)).status_code == 404
    assert (await tenant.owner.get("/v1/external-wallets")).json()["data"] == []
    rows = await service.rows(
        "SELECT deleted_at, (SELECT count(*) FROM wallet_keys WHERE wallet_id = w.id) AS keys FROM external_wallets w"
        " ORDER BY id DESC LIMIT 1"
    )
    assert (rows[0].deleted_at is not None, rows[0].keys) == (True, 0)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("status", ["pending", "manual_review"])
async def test_a_wallet_with_transfers_under_way_is_not_deleted(
    service: GatewayService, tenant: Tenant, side: str, status: str
) -> None:
    """409 `wallet_in_use` until they have ended: its address and keys are what resolves them."""
    home, made = await tenant.new_home(), await tenant.new_wallet()
    ends = (
        {"source": made["id"], "target": home["id"]}
        if side == "source"
        else {"source": home["id"], "target": made["id"]}
    )
    await service.rows(
        """
        INSERT INTO transfers (id, tenant_id, environment, idempotency_key, fingerprint, owner_ref, source_wallet_id,
            source_is_home, source_account, target_wallet_id, target_is_home, target_account, amount, currency, status,
            created_by, due_at)
        SELECT uuidv7(), tenant_id, environment, uuidv7()::text, '', 'o', :source, false, 'a', :target, false, 'b', 1, 'USD',
            :status, 'x', CASE WHEN :status = 'pending' THEN now() END
        FROM external_wallets WHERE id = :source
        """,
        source=typeids.decode("ew", ends["source"]),
        target=typeids.decode("ew", ends["target"]),
        status=status,
    )
    path = f"/v1/external-wallets/{made['id']}"
    refused = await tenant.owner.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_in_use")
    other_protocol = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "protocol": "crm-v1"})
    assert (other_protocol.status_code, other_protocol.json()["code"]) == (409, "wallet_in_use")
    await service.rows("UPDATE transfers SET status = 'completed', due_at = NULL, ended_at = now()")
    assert (await tenant.owner.delete(path)).status_code == 204


async def test_a_frozen_wallet_is_unfrozen_with_evidence(service: GatewayService, tenant: Tenant) -> None:
    """Which is kept in the audit log beside the reason; a wallet that is not frozen has nothing to unfreeze."""
    made = await tenant.new_wallet()
    path = f"/v1/external-wallets/{made['id']}/unfreeze"
    none = await tenant.owner.post(path, json={"evidence": "looked at it"})
    assert (none.status_code, none.json()["code"]) == (409, "wallet_not_frozen")
    await service.rows("UPDATE external_wallets SET frozen = true, frozen_reason = 'feed_regressed', frozen_at = now()")
    shown = (await tenant.owner.get(f"/v1/external-wallets/{made['id']}")).json()
    assert (shown["frozen"], shown["frozen_reason"]) == (True, "feed_regressed")
    for evidence in ("", "  ", None):
        assert (await tenant.owner.post(path, json={"evidence": evidence})).status_code == 422
    thawed = (await tenant.owner.post(path, json={"evidence": "the backup was replayed"})).json()
    assert (thawed["frozen"], thawed["frozen_reason"], thawed["frozen_at"]) == (False, None, None)
    assert (await service.audit("wallet.unfrozen"))[-1] == {
        "evidence": "the backup was replayed",
        "frozen_reason": "feed_regressed",
    }


async def test_crm_v1_comes_with_warnings(service: GatewayService, tenant: Tenant) -> None:
    """In the answer and in the audit log: its signatures are weak; with a write call, its transfers cannot be repeated."""
    reads = await tenant.new_wallet(protocol="crm-v1")
    assert [warning["code"] for warning in reads["warnings"]] == ["crm_v1_weak_signatures"]
    writes = await tenant.new_wallet(protocol="crm-v1", transfer_call=CALL)
    codes = ["crm_v1_weak_signatures", "crm_v1_transfers_not_repeatable"]
    assert [warning["code"] for warning in writes["warnings"]] == codes
    assert writes["transfer_call"] == {**CALL, "credit_value": "credit", "debit_value": "debit", "amount_as": "string"}
    created = await service.audit("wallet.created")
    assert (created[-2]["warnings"], created[-1]["warnings"]) == (codes[:1], codes)
    path = f"/v1/external-wallets/{writes['id']}"
    dropped = await tenant.owner.patch(path, json={"transfer_call": None})
    assert (dropped.json()["transfer_call"], len(dropped.json()["warnings"])) == (None, 1)


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**64, 10**30])
async def test_a_success_value_is_a_number_that_can_be_kept(tenant: Tenant, value: int) -> None:
    """422 beyond what every reader of JSON takes exactly, made or changed; the last one before is shown as it was set."""
    wanted: dict[str, Any] = {"name": "x", "base_url": BASE_URL, "protocol": "crm-v1"}
    call = {**CALL, "success_value": 2**53 - 1}
    made = await tenant.new_wallet(**wanted, transfer_call=call)
    assert made["transfer_call"]["success_value"] == 2**53 - 1
    beyond = {**wanted, "transfer_call": {**CALL, "success_value": value}}
    for refused in (
        await tenant.owner.post("/v1/external-wallets", content=json.dumps(beyond), headers=JSON),
        await tenant.owner.patch(
            f"/v1/external-wallets/{made['id']}",
            content=json.dumps({"transfer_call": beyond["transfer_call"]}),
            headers=JSON,
        ),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("path", ["deposits", "withdrawals"])
async def test_payment_providers_are_refused_with_any_credential(
    service: GatewayService, tenant: Tenant, path: str
) -> None:
    """409 `operation_not_supported`, whatever the scope, the id and the body; without a credential 401."""
    made = await tenant.new_wallet()
    anybody = await service.client_with(tenant.id, scopes=["events:read"])
    for client in (tenant.owner, tenant.tester, anybody):
        for wallet_id in (made["id"], "ew_01jzzzzzzzzzzzzzzzzzzzzzzz", "nonsense"):
            for body in ({"amount": "10.00", "currency": "USD"}, [1], None):
                answer = await client.post(f"/v1/external-wallets/{wallet_id}/{path}", json=body)
                assert (answer.status_code, answer.json()["code"]) == (409, "operation_not_supported")
    refused = await service.client().post(f"/v1/external-wallets/{made['id']}/{path}", json={})
    assert refused.status_code == 401


async def test_the_number_of_wallets_is_limited(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """409; the home wallet and deleted ones do not count."""
    monkeypatch.setattr("wallet_gateway.external_wallets.service.WALLETS_MAX", 1)
    await tenant.new_home()
    first = await tenant.new_wallet()
    body = {"name": "x", "base_url": BASE_URL}
    refused = await tenant.owner.post("/v1/external-wallets", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_limit_reached")
    await tenant.owner.delete(f"/v1/external-wallets/{first['id']}")
    await tenant.new_wallet()
    await tenant.new_wallet(client=tenant.tester)
