"""Every mutation writes its audit entry in the same transaction, in a chain that shows tampering."""

import asyncio
from typing import Any

import pytest

from credentials.audit.chain import FIRST_PREVIOUS_HASH, AuditEntry, entry_hash
from shared.typeids import decode
from support.credentials_service import CredentialsService


async def entries_of(service: CredentialsService, tenant_id: str) -> list[Any]:
    """Return the rows of a tenant's chain in their order."""
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT * FROM audit_entries WHERE chain_id = $1 ORDER BY number", (decode("ten", tenant_id),)
        )
        return list(rows)


async def test_every_mutation_is_recorded(service: CredentialsService) -> None:
    """Who, what, to what, through which request and from where."""
    tenant_id = await service.new_tenant("Audited")
    owner = service.client((await service.new_key(tenant_id, roles=["owner"]))["key"], client_ip="192.0.2.5")
    me = (await owner.get("/v1/whoami")).json()["id"]
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": ["events:read"]}
    made = (await owner.post("/v1/api-keys", json=wanted)).json()["id"]
    await owner.post(f"/v1/api-keys/{made}/revoke", headers={"x-request-id": "revoking"})
    await owner.delete(f"/v1/api-keys/{made}")
    await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"name": "Renamed"})
    await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "suspended"})
    await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "active"})
    entries = await entries_of(service, tenant_id)
    assert [entry.action for entry in entries] == [
        "tenant.created",
        "api_key.created",
        "api_key.created",
        "api_key.revoked",
        "api_key.deleted",
        "tenant.updated",
        "tenant.suspended",
        "tenant.activated",
    ]
    revoked = entries[3]
    assert (revoked.actor_id, revoked.target_id, revoked.request_id, str(revoked.ip)) == (
        me,
        made,
        "revoking",
        "192.0.2.5",
    )
    assert entries[6].changes == '{"status":["active","suspended"]}'


async def test_what_changes_nothing_is_not_recorded(service: CredentialsService) -> None:
    """A repeated revocation, a refused creation, and the replay of an idempotent one."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": []}
    for _ in range(2):
        made = (await owner.post("/v1/api-keys", json=wanted, headers={"idempotency-key": "k"})).json()["id"]
    for _ in range(2):
        await owner.post(f"/v1/api-keys/{made}/revoke")
    await owner.post("/v1/api-keys", json={**wanted, "kind": "service"})
    actions = [entry.action for entry in await entries_of(service, tenant_id) if entry.outcome == "allowed"]
    assert actions == ["tenant.created", "api_key.created", "api_key.created", "api_key.revoked"]


async def test_the_chain_holds_and_shows_tampering(service: CredentialsService) -> None:
    """Recomputing from the stored rows gives the stored hashes, also after concurrent changes; an altered row does not."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": []}
    await asyncio.gather(*(owner.post("/v1/api-keys", json=wanted) for _ in range(8)))
    entries = await entries_of(service, tenant_id)
    assert [entry.number for entry in entries] == list(range(1, 11))
    assert _first_broken(entries) is None
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql(
            "UPDATE audit_entries SET actor_id = 'key_other' WHERE id = $1", (entries[4].id,)
        )
    assert _first_broken(await entries_of(service, tenant_id)) == 5


async def test_a_mutation_whose_entry_fails_does_not_happen(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry and the change commit together or not at all."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("credentials.audit.repository.append", fail)
    assert (await owner.post(f"/v1/api-keys/{made['id']}/revoke")).status_code == 503
    assert (await owner.delete(f"/v1/api-keys/{made['id']}")).status_code == 503
    monkeypatch.undo()
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["status"] == "active"


def _first_broken(rows: list[Any]) -> int | None:
    previous = FIRST_PREVIOUS_HASH
    for row in rows:
        fields = {name: getattr(row, name) for name in AuditEntry.__dataclass_fields__}
        entry = AuditEntry(**{**fields, "ip": str(row.ip) if row.ip else None})
        if row.previous_hash != previous or row.hash != entry_hash(entry, previous_hash=previous):
            return int(row.number)
        previous = row.hash
    return None
