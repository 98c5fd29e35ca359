"""API keys: made, listed, shown, revoked and deleted."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.scopes import PUBLIC_SCOPES
from support.credentials_service import CredentialsService


async def test_the_text_is_shown_once(service: CredentialsService) -> None:
    """Only the answer of the creation holds it, and is not to be stored."""
    owner = await service.new_owner(await service.new_tenant())
    made = await owner.post(
        "/v1/api-keys", json={"name": "A", "kind": "secret", "environment": "live", "scopes": ["events:publish"]}
    )
    assert made.headers["cache-control"] == "no-store"
    text = made.json()["key"]
    key_id = made.json()["id"]
    for answer in (await owner.get(f"/v1/api-keys/{key_id}"), await owner.get("/v1/api-keys")):
        assert text not in answer.text
        assert text[-20:] not in answer.text
    shown = (await owner.get(f"/v1/api-keys/{key_id}")).json()
    assert (shown["prefix"], shown["last_four"]) == (text[:15], text[-4:])


async def test_only_the_hash_is_stored(service: CredentialsService) -> None:
    """No part of the database holds the text, nor the plain SHA-256 of it."""
    tenant_id = await service.new_tenant()
    text = (await service.new_key(tenant_id, name="canary"))["key"]
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT v.*, k.*, (SELECT string_agg(e::text, '') FROM audit_entries e)"
            " FROM api_key_versions v JOIN api_keys k ON k.id = v.key_id"
        )
        stored = str([tuple(row) for row in rows])
    assert text not in stored
    assert text[16:56] not in stored


async def test_filters_and_search(service: CredentialsService) -> None:
    """By status, kind, environment, and part of the name, prefix or last four; a wildcard is just a character."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    payout = await service.new_key(tenant_id, name="Payout 100%", scopes=["events:publish"], expires_at=soon)
    public = await service.new_key(tenant_id, name="Browser", kind="public", scopes=["balances:read"])
    revoked = await service.new_key(tenant_id, name="Old")
    await owner.post(f"/v1/api-keys/{revoked['id']}/revoke")

    async def names(**query: str) -> list[str]:
        return [key["name"] for key in (await owner.get("/v1/api-keys", params=query)).json()["data"]]

    assert await names() == ["Old", "Browser", "Payout 100%", "test"]
    assert await names(status="revoked") == ["Old"]
    assert await names(status="active", kind="public") == ["Browser"]
    assert await names(environment="test") == []
    assert await names(q="payout") == ["Payout 100%"]
    assert await names(q="0%") == ["Payout 100%"]
    assert await names(q="%") == ["Payout 100%"]
    assert await names(q="_") == []
    assert await names(q=public["prefix"]) == ["Browser"]
    assert await names(q=payout["last_four"]) == ["Payout 100%"]


async def test_an_expired_key_is_shown_as_such_and_denied(service: CredentialsService) -> None:
    """The moment it expires, also if it was verified just before."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    made = await service.new_key(tenant_id, expires_at=soon.isoformat())
    key = service.client(made["key"])
    assert (await key.get("/v1/whoami")).status_code == 200
    while datetime.now(UTC) < soon:
        answer = await key.get("/v1/whoami")
        assert answer.status_code == 200 or datetime.now(UTC) >= soon
    assert (await key.get("/v1/whoami")).status_code == 401
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["status"] == "expired"
    listed = (await owner.get("/v1/api-keys", params={"status": "expired"})).json()["data"]
    assert [key["id"] for key in listed] == [made["id"]]


async def test_revoking_keeps_the_record_and_deleting_does_not(service: CredentialsService) -> None:
    """Either denies the key at once; a second revocation changes nothing, a second deletion finds nothing."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    assert (await service.client(made["key"]).get("/v1/whoami")).status_code == 200
    for _ in range(2):
        revoked = await owner.post(f"/v1/api-keys/{made['id']}/revoke")
        assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    assert (await service.client(made["key"]).get("/v1/whoami")).status_code == 401
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["status"] == "revoked"
    assert (await owner.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).status_code == 404
    assert (await owner.delete(f"/v1/api-keys/{made['id']}")).status_code == 404


async def test_a_deleted_key_is_denied_at_once(service: CredentialsService) -> None:
    """Also one that was in memory."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    key = service.client(made["key"])
    assert (await key.get("/v1/whoami")).status_code == 200
    await service.platform.delete(f"/v1/api-keys/{made['id']}", headers={"x-tenant-id": tenant_id})
    assert (await key.get("/v1/whoami")).status_code == 401


async def test_whoami_shows_the_callers_own_key(service: CredentialsService) -> None:
    """With the scopes its roles give at this moment; also for a key without any scope."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["events:publish"], roles=["support"])
    own = (await service.client(made["key"]).get("/v1/whoami")).json()
    assert (own["id"], own["tenant_id"], own["scopes"]) == (made["id"], tenant_id, ["events:publish"])
    assert set(own["effective_scopes"]) > {"events:publish", "deliveries:resend"}
    assert "key" not in own
    bare = await service.new_key(tenant_id)
    assert (await service.client(bare["key"]).get("/v1/whoami")).json()["effective_scopes"] == []
    platform = (await service.platform.get("/v1/whoami")).json()
    assert (platform["kind"], platform["tenant_id"]) == ("service", None)


async def test_service_keys_belong_to_no_tenant(service: CredentialsService) -> None:
    """They act for whichever tenant they name, and the platform finds them with or without naming one."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, kind="service", scopes=["events:publish", "api_keys:read"])
    answer = await service.client(made["key"], tenant_id=tenant_id).get("/v1/api-keys")
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    own = [key["id"] for key in (await service.platform.get("/v1/api-keys")).json()["data"]]
    assert made["id"] in own
    for headers in ({}, {"x-tenant-id": tenant_id}):
        shown = await service.platform.get(f"/v1/api-keys/{made['id']}", headers=headers)
        assert shown.status_code == 200
    owner = await service.new_owner(tenant_id)
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).status_code == 404


async def test_a_tenants_key_needs_a_tenant_that_exists(service: CredentialsService) -> None:
    """The platform has to name one."""
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": []}
    nameless = await service.platform.post("/v1/api-keys", json=wanted)
    assert (nameless.status_code, nameless.json()["code"]) == (400, "tenant_required")
    unknown = await service.platform.post(
        "/v1/api-keys", json=wanted, headers={"x-tenant-id": "ten_01h455vb4pex5vsknk084sn02q"}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"scopes": ["webhooks:write"]}, 403, "scope_escalation"),
        ({"roles": ["owner"]}, 403, "scope_escalation"),
        ({"scopes": ["tenants:write"]}, 403, "scope_escalation"),
        ({"kind": "service"}, 403, "scope_escalation"),
        ({"environment": "test", "scopes": ["webhooks:write"]}, 403, "scope_escalation"),
        ({"environment": "test", "roles": ["owner"]}, 403, "scope_escalation"),
        ({"kind": "public", "scopes": ["api_keys:write"]}, 422, "validation_failed"),
    ],
)
async def test_nobody_gives_more_than_it_has(
    service: CredentialsService, fields: dict[str, object], status: int, code: str
) -> None:
    """An API key that makes keys stays inside its own scopes and kind, in test too; nothing is made."""
    tenant_id = await service.new_tenant()
    maker = service.client((await service.new_key(tenant_id, scopes=["api_keys:write", "api_keys:read"]))["key"])
    wanted = {"name": "more", "kind": "secret", "environment": "live", "scopes": [], **fields}
    answer = await maker.post("/v1/api-keys", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [key["name"] for key in (await maker.get("/v1/api-keys")).json()["data"]] == ["test"]


async def test_making_keys_needs_its_scope(service: CredentialsService) -> None:
    """A key that only reads keys makes, revokes and deletes none."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["api_keys:read"])
    reader = service.client(made["key"])
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": []}
    for answer in (
        await reader.post("/v1/api-keys", json=wanted),
        await reader.post(f"/v1/api-keys/{made['id']}/revoke"),
        await reader.delete(f"/v1/api-keys/{made['id']}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        assert 'scope="api_keys:write"' in answer.headers["www-authenticate"]


async def test_the_address_list_is_enforced(service: CredentialsService) -> None:
    """By network, for IPv4, IPv6 and IPv4 in IPv6 form; the denial says nothing."""
    tenant_id = await service.new_tenant()
    text = (await service.new_key(tenant_id, allowed_cidrs=["192.0.2.0/24", "2001:db8::/64"]))["key"]
    answers = {
        ip: (await service.client(text, client_ip=ip).get("/v1/whoami"))
        for ip in ("192.0.2.200", "::ffff:192.0.2.7", "2001:db8::9", "192.0.3.1", "2001:db8:0:1::1", "127.0.0.1")
    }
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200, 401, 401, 401]
    unknown = await service.client("cw_sk_live_nonsense").get("/v1/whoami")
    denied = answers["192.0.3.1"].json()
    assert {**denied, "request_id": ""} == {**unknown.json(), "request_id": ""}
    spoofed = await service.client(text).get("/v1/whoami", headers={"x-forwarded-for": "192.0.2.7"})
    assert spoofed.status_code == 401


async def test_public_keys_hold_what_a_browser_may_read(service: CredentialsService) -> None:
    """All public scopes can be given."""
    made = await service.new_key(await service.new_tenant(), kind="public", scopes=sorted(PUBLIC_SCOPES))
    assert made["key"].startswith("cw_pk_live_")


async def test_a_repeated_creation_answers_without_the_secret(service: CredentialsService) -> None:
    """The same Idempotency-Key makes one key; the replay leaves out its text; another body is a mismatch."""
    owner = await service.new_owner(await service.new_tenant())
    wanted = {"name": "once", "kind": "secret", "environment": "live", "scopes": []}
    headers = {"idempotency-key": "make-once"}
    first = await owner.post("/v1/api-keys", json=wanted, headers=headers)
    again = await owner.post("/v1/api-keys", json=wanted, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    expected = first.json()
    text = expected.pop("key")
    assert again.json() == expected
    assert again.headers["idempotency-replayed"] == "true"
    other = await owner.post("/v1/api-keys", json={**wanted, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len((await owner.get("/v1/api-keys", params={"q": "once"})).json()["data"]) == 1
    async with service.resources.database.connection() as connection:
        kept = str((await connection.exec_driver_sql("SELECT convert_from(body, 'UTF8') FROM idempotency_keys")).all())
    assert text not in kept
