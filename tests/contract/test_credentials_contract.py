"""The wire contract of credentials as it is fixed: fields, statuses, codes, and what bad input gets."""

import re
from typing import Any

import pytest

from shared import key_format
from support.credentials_service import CredentialsService

TENANT_FIELDS = {"id", "name", "status", "created_at", "legacy_signatures"}
KEY_FIELDS = {
    *("id", "name", "kind", "environment", "prefix", "last_four", "scopes", "roles", "status", "created_at"),
    *("created_by", "expires_at", "last_used_at", "last_used_ip", "versions"),
    # What was given on creation and the contract does not list among the answer's fields is shown as well.
    *("allowed_cidrs", "metadata"),
}
VERSION_FIELDS = {"number", "status", "created_at", "ends_at", "last_used_at"}
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
WANTED = {"name": "A", "kind": "secret", "environment": "live", "scopes": ["events:publish"]}


async def test_tenants(service: CredentialsService) -> None:
    """Fields and statuses of each call."""
    made = await service.platform.post("/v1/tenants", json={"name": "Broker"})
    assert made.status_code == 201
    assert made.json().keys() == TENANT_FIELDS
    assert re.fullmatch(r"ten_[0-9a-z]{26}", made.json()["id"])
    assert UTC_TIME.fullmatch(made.json()["created_at"])
    shown = await service.platform.get(f"/v1/tenants/{made.json()['id']}")
    assert (shown.status_code, shown.json()) == (200, made.json())
    listed = await service.platform.get("/v1/tenants", params={"limit": 1})
    assert listed.json().keys() == {"data", "next_cursor"}
    changed = await service.platform.patch(f"/v1/tenants/{made.json()['id']}", json={"status": "suspended"})
    assert (changed.status_code, changed.json()) == (200, {**made.json(), "status": "suspended"})
    assert (await service.platform.get("/v1/tenants/ten_01h455vb4pex5vsknk084sn02q")).status_code == 404


async def test_api_keys(service: CredentialsService) -> None:
    """Fields and statuses of each call; the key is in the answer of its creation alone."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {
        **WANTED,
        "roles": ["support"],
        "expires_at": "2099-01-01T02:00:00+02:00",
        "allowed_cidrs": ["192.0.2.0/24"],
        "metadata": {"team": "payments", "number": 1, "on": True},
    }
    made = await owner.post("/v1/api-keys", json=wanted)
    assert made.status_code == 201
    key = made.json()
    assert key.keys() == KEY_FIELDS | {"key"}
    text = key.pop("key")
    form = key_format.parse(text)
    assert form is not None
    me = (await owner.get("/v1/whoami")).json()
    assert key == {
        **{
            name: wanted[name]
            for name in ("name", "kind", "environment", "scopes", "roles", "allowed_cidrs", "metadata")
        },
        "id": key["id"],
        "prefix": form.prefix,
        "last_four": text[-4:],
        "status": "active",
        "created_at": key["created_at"],
        "created_by": me["id"],
        "expires_at": "2099-01-01T00:00:00Z",
        "last_used_at": None,
        "last_used_ip": None,
        "versions": key["versions"],
    }
    assert re.fullmatch(r"key_[0-9a-z]{26}", key["id"])
    assert [version.keys() for version in key["versions"]] == [VERSION_FIELDS]
    assert (key["versions"][0]["number"], key["versions"][0]["status"]) == (1, "active")
    shown = await owner.get(f"/v1/api-keys/{key['id']}")
    assert (shown.status_code, shown.json()) == (200, key)
    listed = await owner.get("/v1/api-keys", params={"limit": 1})
    assert listed.json()["data"] == [key]
    assert isinstance(listed.json()["next_cursor"], str)
    revoked = await owner.post(f"/v1/api-keys/{key['id']}/revoke")
    (version,) = revoked.json().pop("versions")
    assert (version["status"], version["ends_at"] is not None) == ("ended", True)
    assert (revoked.status_code, revoked.json()) == (200, {**key, "status": "revoked", "versions": [version]})
    assert me.keys() == KEY_FIELDS | {"tenant_id", "effective_scopes"}
    deleted = await owner.delete(f"/v1/api-keys/{key['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")


async def test_the_first_key_of_a_tenant(service: CredentialsService) -> None:
    """A platform credential names the tenant and gives the role owner; X-Environment may be left out."""
    tenant_id = await service.new_tenant()
    for environment in ("live", "test"):
        wanted = {"name": "Owner", "kind": "secret", "environment": environment, "roles": ["owner"]}
        made = await service.platform.post("/v1/api-keys", json=wanted, headers={"x-tenant-id": tenant_id})
        assert made.status_code == 201
        assert made.json()["environment"] == environment
        assert (await service.client(made.json()["key"]).get("/v1/api-keys")).status_code == 200


async def test_both_ways_to_send_a_credential(service: CredentialsService) -> None:
    """Authorization: Bearer or X-API-Key."""
    for headers in ({"authorization": f"Bearer {service.platform_key}"}, {"x-api-key": service.platform_key}):
        assert (await service.client().get("/v1/whoami", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": None}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "  "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "\r" + "x" * 200}, "/name"),
        ({"name": 1}, "/name"),
        ({"kind": "admin"}, "/kind"),
        ({"kind": "security_token"}, "/kind"),
        ({"environment": "stage"}, "/environment"),
        ({"scopes": "events:publish"}, "/scopes"),
        ({"scopes": ["events:publish", "nope"]}, "/scopes/1"),
        ({"scopes": [1]}, "/scopes/0"),
        ({"scopes": ["x"] * 101}, "/scopes"),
        ({"roles": ["king"]}, "/roles/0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": 4070908800}, "/expires_at"),
        ({"expires_at": "soon"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-10:00"}, "/expires_at"),
        ({"allowed_cidrs": ["192.0.2.1/24"]}, "/allowed_cidrs/0"),
        ({"allowed_cidrs": ["192.0.2.0/24", "example.com"]}, "/allowed_cidrs/1"),
        ({"allowed_cidrs": ["192.0.2.0/24"] * 101}, "/allowed_cidrs"),
        ({"metadata": []}, "/metadata"),
        ({"metadata": {"a": {"nested": 1}}}, None),
        ({"metadata": {str(number): 1 for number in range(51)}}, "/metadata"),
        ({"metadata": {"a": "x" * 501}}, None),
        *(
            ({name: "x"}, f"/{name}")
            for name in ("tenant_id", "hash", "secret_hash", "last_used_at", "id", "key", "created_by")
        ),
    ],
)
async def test_a_malformed_key_is_pointed_at(
    service: CredentialsService, change: dict[str, Any], pointer: str | None
) -> None:
    """422 with the pointer, also for what only the service may set; nothing is made."""
    tenant_id = await service.new_tenant()
    answer = await service.platform.post("/v1/api-keys", json=WANTED | change, headers={"x-tenant-id": tenant_id})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers[0] == pointer if pointer else pointers[0].startswith("/")
    listed = await service.platform.get("/v1/api-keys", headers={"x-tenant-id": tenant_id})
    assert listed.json()["data"] == []


@pytest.mark.parametrize("missing", ["name", "kind", "environment"])
async def test_what_must_be_given(service: CredentialsService, missing: str) -> None:
    """Each required field is named."""
    wanted = {name: value for name, value in WANTED.items() if name != missing}
    answer = await service.platform.post("/v1/api-keys", json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{missing}")


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("POST", "/v1/tenants", {"name": ""}, "/name"),
        ("POST", "/v1/tenants", {"name": "A", "status": "active"}, "/status"),
        ("PATCH", "/v1/tenants/{tenant}", {"status": "gone"}, "/status"),
        ("PATCH", "/v1/tenants/{tenant}", {"name": None}, ""),
        ("PATCH", "/v1/tenants/{tenant}", {"id": "x"}, "/id"),
        ("POST", "/v1/verify", {}, "/credential"),
        ("POST", "/v1/verify", {"credential": "x", "source_ip": "here"}, None),
        ("POST", "/v1/verify", {"credential": "x" * 4097}, "/credential"),
        ("POST", "/v1/verify", {"credential": "x", "extra": 1}, "/extra"),
        ("GET", "/v1/api-keys?limit=0", None, "query/limit"),
        ("GET", "/v1/api-keys?limit=201", None, "query/limit"),
        ("GET", "/v1/api-keys?cursor=nonsense", None, "query/cursor"),
        ("GET", "/v1/api-keys?status=gone", None, "query/status"),
        ("GET", "/v1/api-keys?q=", None, "query/q"),
        ("GET", "/v1/api-keys?q=%00", None, "query/q"),
        ("GET", "/v1/api-keys?other=1", None, "query/other"),
        ("GET", "/v1/tenants?other=1", None, "query/other"),
    ],
)
async def test_other_malformed_requests_are_pointed_at(
    service: CredentialsService, method: str, path: str, body: object, pointer: str | None
) -> None:
    """Bodies and queries of every call."""
    tenant_id = await service.new_tenant()
    answer = await service.platform.request(method, path.format(tenant=tenant_id), json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    shown = answer.json()["errors"][0]["pointer"]
    assert shown == pointer if pointer is not None else shown.startswith("/")


async def test_every_denied_credential_gets_the_same_answer(service: CredentialsService) -> None:
    """Unknown, malformed, revoked, deleted, of a suspended tenant, none at all: equal but for the request id."""
    tenant_id, suspended_id = await service.new_tenant(), await service.new_tenant()
    revoked, deleted = await service.new_key(tenant_id), await service.new_key(tenant_id)
    suspended = await service.new_key(suspended_id)
    headers = {"x-tenant-id": tenant_id}
    await service.platform.post(f"/v1/api-keys/{revoked['id']}/revoke", headers=headers)
    await service.platform.delete(f"/v1/api-keys/{deleted['id']}", headers=headers)
    await service.platform.patch(f"/v1/tenants/{suspended_id}", json={"status": "suspended"})
    answers = [
        await service.client(text).get("/v1/whoami")
        for text in (None, "x", key_format.generate("secret", "live"), revoked["key"], deleted["key"], suspended["key"])
    ]
    expected = {**answers[0].json(), "request_id": ""}
    assert expected["code"] == "unauthorized"
    for answer in answers:
        assert (answer.status_code, {**answer.json(), "request_id": ""}) == (401, expected)
    # RFC 6750 §3.1: the challenge names an error where something was presented, whatever was wrong with it.
    nothing, *something = [answer.headers["www-authenticate"] for answer in answers]
    assert nothing == 'Bearer realm="causeway"'
    assert set(something) == {'Bearer realm="causeway", error="invalid_token"'}
