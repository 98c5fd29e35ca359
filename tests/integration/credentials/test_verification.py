"""``POST /v1/verify``: what the siblings ask, and what it costs."""

from collections.abc import AsyncIterator

import pytest

from credentials.last_uses import LastUses
from credentials.verification.judgement import Reason
from shared import key_format
from shared.typeids import decode
from support.credentials_service import CredentialsService
from support.queries import recorded_statements


async def test_a_valid_credential_is_described(service: CredentialsService) -> None:
    """With its tenant, environment, kind, and the scopes of its own and of its roles."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, name="A", scopes=["events:publish"], roles=["support"], environment="test")
    siblings = service.client(service.service_key)
    answer = (await siblings.post("/v1/verify", json={"credential": made["key"]})).json()
    principal = answer["principal"]
    assert answer["valid"] is True
    assert isinstance(answer["sequence"], int)
    assert {**principal, "scopes": None} == {
        "credential_id": made["id"],
        "kind": "secret",
        "name": "A",
        "tenant_id": tenant_id,
        "environment": "test",
        "scopes": None,
        "expires_at": None,
        "legacy_signatures": False,
    }
    assert "events:publish" in principal["scopes"]
    assert "deliveries:resend" in principal["scopes"]


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "cw_ss_live_x"}, {"key": "x"}], ids=["none", "malformed", "older way"]
)
async def test_nothing_of_a_question_is_read_before_it_is_known_who_asks(
    service: CredentialsService, headers: dict[str, str]
) -> None:
    """401, whatever was sent and however long it is; a tenant's key gets its 403 as early."""
    read = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(b" " * 65_536)
            yield read[-1]

    json = {"content-type": "application/json"}
    answer = await service.client().post("/v1/verify", content=endless(), headers={**headers, **json})
    assert answer.status_code == 401
    assert len(read) <= 1
    owner = await service.new_owner(await service.new_tenant())
    read.clear()
    answer = await owner.post("/v1/verify", content=endless(), headers=json)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert len(read) <= 1
    siblings = service.client(service.service_key)
    assert (await siblings.post("/v1/verify", content=endless(), headers=json)).status_code == 413


async def test_a_question_takes_no_query(service: CredentialsService) -> None:
    """Unknown parameters are refused here as everywhere; and who asks comes first."""
    asked = {"credential": "nonsense"}
    siblings = service.client(service.service_key)
    refused = await siblings.post("/v1/verify?scope=events:read", json=asked)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "query/scope")
    assert (await service.client().post("/v1/verify?scope=events:read", json=asked)).status_code == 401
    assert (await siblings.post("/v1/verify?", json=asked)).status_code == 200


async def test_every_denial_is_the_same(service: CredentialsService) -> None:
    """Unknown, malformed, revoked, wrong address, missing scope: only valid=false and the sequence."""
    tenant_id = await service.new_tenant()
    revoked = await service.new_key(tenant_id)
    await service.platform.post(f"/v1/api-keys/{revoked['id']}/revoke", headers={"x-tenant-id": tenant_id})
    listed = await service.new_key(tenant_id, allowed_cidrs=["192.0.2.0/24"])
    plain = await service.new_key(tenant_id)
    siblings = service.client(service.service_key)
    for asked in (
        {"credential": key_format.generate("secret", "live")},
        {"credential": "nonsense"},
        {"credential": ""},
        {"credential": "a.b.c"},
        {"credential": revoked["key"]},
        {"credential": listed["key"], "source_ip": "198.51.100.1"},
        {"credential": listed["key"]},
        {"credential": plain["key"], "required_scopes": ["events:read"]},
    ):
        answer = await siblings.post("/v1/verify", json=asked)
        assert answer.status_code == 200
        assert answer.json() == {"valid": False, "sequence": answer.json()["sequence"]}
    allowed = await siblings.post("/v1/verify", json={"credential": listed["key"], "source_ip": "::ffff:192.0.2.7"})
    assert allowed.json()["valid"] is True


async def test_the_exact_reason_stays_inside(service: CredentialsService) -> None:
    """What the owner will be shown is known, and is not in the answer."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    verdict = await service.resources.access.judge(made["key"], ip=None, required_scopes=["events:read"])
    assert verdict.reason is Reason.SCOPE_MISSING
    await service.platform.post(f"/v1/api-keys/{made['id']}/revoke", headers={"x-tenant-id": tenant_id})
    assert (await service.resources.access.judge(made["key"], ip=None)).reason is Reason.REVOKED


async def test_only_a_platform_credential_with_the_scope_may_ask(service: CredentialsService) -> None:
    """A tenant's owner may not, nor a platform key without the scope."""
    owner = await service.new_owner(await service.new_tenant())
    publisher = service.client((await service.new_key(None, kind="service", scopes=["events:publish"]))["key"])
    for client, status in ((owner, 403), (publisher, 403), (service.client(), 401), (service.platform, 200)):
        assert (await client.post("/v1/verify", json={"credential": "x"})).status_code == status


async def test_a_verification_writes_nothing_and_a_repeated_one_asks_nothing(service: CredentialsService) -> None:
    """The first reads once; then memory answers."""
    made = await service.new_key(await service.new_tenant())
    siblings = service.client(service.service_key)
    await siblings.post("/v1/verify", json={"credential": "x"})
    await service.resources.feed.look()
    with recorded_statements(service.resources.database, of_this_task=True) as first:
        await siblings.post("/v1/verify", json={"credential": made["key"]})
    await service.resources.feed.look()
    with recorded_statements(service.resources.database, of_this_task=True) as second:
        await siblings.post("/v1/verify", json={"credential": made["key"]})
    assert all(statement.lstrip().startswith("SELECT") for statement in first)
    assert 1 <= len(first) <= 2
    assert second == []


@pytest.mark.parametrize("text", ["cw_sk_live_" + "0" * 49, "cw_sk_live_short", "Bearer x", "é"])
async def test_a_wrong_checksum_costs_no_query(service: CredentialsService, text: str) -> None:
    """It is refused before any I/O."""
    with recorded_statements(service.resources.database, of_this_task=True) as statements:
        verdict = await service.resources.access.judge(text, ip=None)
    assert verdict.reason is Reason.MALFORMED
    assert statements == []


async def test_last_use_is_merged_and_only_goes_forward(service: CredentialsService) -> None:
    """Many uses are one row; an older process never sets it back; a deleted key is left out."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made, deleted = await service.new_key(tenant_id), await service.new_key(tenant_id)
    for ip in ("192.0.2.1", "192.0.2.2"):
        for text in (made["key"], deleted["key"]):
            assert (await service.client(text, client_ip=ip).get("/v1/whoami")).status_code == 200
    stale = LastUses(service.resources.database)
    verdict = await service.resources.access.judge(made["key"], ip=None)
    assert verdict.principal is not None
    await owner.delete(f"/v1/api-keys/{deleted['id']}")
    with recorded_statements(service.resources.database, of_this_task=True) as statements:
        await service.resources.last_uses.flush()
        await service.resources.last_uses.flush()
    assert len(statements) == 1
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert shown["last_used_at"] == shown["versions"][0]["last_used_at"] is not None
    stale.note(decode("key", made["id"]), version=1, used_at=1.0, ip=None)
    await stale.flush()
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["last_used_at"] == shown["last_used_at"]


async def test_last_use_names_the_address(service: CredentialsService) -> None:
    """The address of the newest use."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    await service.client(made["key"], client_ip="192.0.2.9").get("/v1/whoami")
    await service.resources.last_uses.flush()
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["last_used_ip"] == "192.0.2.9"
