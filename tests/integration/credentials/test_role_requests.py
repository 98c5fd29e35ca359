"""What a role's requests may hold, and what they leave in the log."""

from typing import Any

import pytest

from support.credentials_service import CredentialsService


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"name": "A", "scopes": ["nope"]}, "/scopes/0"),
        ({"name": "A", "scopes": ["events:read", "tenants:write"]}, "/scopes/1"),
        ({"name": "A", "scopes": []}, "/scopes"),
        ({"name": " ", "scopes": ["events:read"]}, "/name"),
        ({"name": "A ", "scopes": ["events:read"]}, "/name"),
        ({"name": "öwner", "scopes": ["events:read"]}, "/name"),
        ({"name": "a\u0007", "scopes": ["events:read"]}, "/name"),
        ({"name": "A" * 65, "scopes": ["events:read"]}, "/name"),
        ({"name": "A", "scopes": ["events:read"], "tenant_id": "ten_x"}, "/tenant_id"),
        ({"name": "A", "scopes": ["events:read"], "built_in": True}, "/built_in"),
        ({"scopes": ["events:read"]}, "/name"),
        ({"name": "cw_sk_live_" + "0" * 49, "scopes": ["events:read"]}, "/name"),
        ({"name": "A", "scopes": ["events:read"], "description": "it is cw_st_live_" + "0" * 49}, "/description"),
    ],
)
async def test_what_is_malformed_is_pointed_at(service: CredentialsService, wanted: Any, pointer: str) -> None:
    """Unknown and platform scopes, names nobody can read, and fields that are not the caller's to set."""
    owner = await service.new_owner(await service.new_tenant())
    answer = await owner.post("/v1/roles", json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_changes_are_recorded_and_repeated_requests_do_nothing_twice(service: CredentialsService) -> None:
    """One entry each; a patch that changes nothing, and a replay, write none."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {"name": "once", "scopes": ["events:read"]}
    answers = [await owner.post("/v1/roles", json=wanted, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    role_id = answers[0].json()["id"]
    for _ in range(2):
        await owner.patch(f"/v1/roles/{role_id}", json={"scopes": ["events:publish"], "description": None})
    await owner.delete(f"/v1/roles/{role_id}")
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT action, changes FROM audit_entries WHERE target_id = $1 ORDER BY number", (role_id,)
        )
        entries = [tuple(row) for row in rows]
    assert [action for action, _ in entries] == ["role.created", "role.updated", "role.deleted"]
    assert entries[1][1] == '{"scopes":[["events:read"],["events:publish"]]}'
