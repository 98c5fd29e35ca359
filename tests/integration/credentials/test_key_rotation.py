"""Rotating a key: a new text, an overlap, finishing it and going back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from credentials.key_rotation.overlap import LIVE_IN_OVERLAP_MAX
from support.credentials_service import CredentialsService


async def rotate(client: httpx2.AsyncClient, key: dict[str, Any], seconds: int, **headers: str) -> dict[str, Any]:
    """Rotate a key and return the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post(f"/v1/api-keys/{key['id']}/rotate", json={"overlap_seconds": seconds}, headers=named)
    assert answer.status_code == 200, answer.text
    rotated: dict[str, Any] = answer.json()
    return rotated


def _body_of(call: str) -> dict[str, int]:
    """Return the body that a call takes: only a rotation takes one, and others refuse it."""
    return {"overlap_seconds": 0} if call == "rotate" else {}


async def works(service: CredentialsService, key: dict[str, Any]) -> bool:
    """Tell whether the text in an answer is valid at this moment."""
    return (await service.client(key["key"]).get("/v1/whoami")).status_code == 200


def statuses(key: dict[str, Any]) -> list[str]:
    """Return the states of a key's versions."""
    return [version["status"] for version in key["versions"]]


async def test_both_texts_live_during_the_overlap(service: CredentialsService) -> None:
    """The new one is shown once and is what the key is known by; the old one has an end."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id, scopes=["events:read"])
    assert await works(service, made)
    began = datetime.now(UTC)
    rotated = await rotate(owner, made, 3600)
    assert rotated["key"] != made["key"]
    assert rotated["prefix"] == rotated["key"][:15] != made["prefix"]
    assert statuses(rotated) == ["overlap", "active"]
    end = datetime.fromisoformat(rotated["versions"][0]["ends_at"])
    assert began + timedelta(seconds=3600) <= end <= datetime.now(UTC) + timedelta(seconds=3600)
    assert [await works(service, key) for key in (made, rotated)] == [True, True]
    text = rotated.pop("key")
    shown = await owner.get(f"/v1/api-keys/{made['id']}")
    assert shown.json() == rotated | {name: shown.json()[name] for name in ("versions", "last_used_at", "last_used_ip")}
    assert text[-20:] not in shown.text
    for part in (made["prefix"], rotated["prefix"]):
        assert [key["id"] for key in (await owner.get("/v1/api-keys", params={"q": part})).json()["data"]] == [
            made["id"]
        ]


async def test_without_overlap_the_old_text_is_denied_at_once(service: CredentialsService) -> None:
    """Though it was in memory; and then there is nothing to go back to."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    assert await works(service, made)
    rotated = await rotate(owner, made, 0)
    assert [await works(service, key) for key in (made, rotated)] == [False, True]
    assert statuses(rotated) == ["ended", "active"]
    undone = await owner.post(f"/v1/api-keys/{made['id']}/rotate/undo")
    assert (undone.status_code, undone.json()["code"]) == (409, "nothing_to_undo")


async def test_the_overlap_ends_by_itself(service: CredentialsService) -> None:
    """At its very end, though the old text is asked for without a pause and remembered."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    rotated = await rotate(owner, made, 1)
    end = datetime.fromisoformat(rotated["versions"][0]["ends_at"])
    seen = 0
    while datetime.now(UTC) < end:
        allowed = await works(service, made)
        assert allowed or datetime.now(UTC) >= end
        seen += allowed
    assert seen > 3
    assert not await works(service, made)
    assert await works(service, rotated)


async def test_the_overlap_never_exceeds_the_keys_own_expiry(service: CredentialsService) -> None:
    """Not on rotating, and not when the expiry is brought forward later, or put off again."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    tomorrow, soon = (datetime.now(UTC) + timedelta(hours=hours) for hours in (24, 1))
    made = await service.new_key(tenant_id, expires_at=tomorrow.isoformat())
    rotated = await rotate(owner, made, 30 * 86_400)
    assert datetime.fromisoformat(rotated["versions"][0]["ends_at"]) == tomorrow
    for expires_at in (soon.isoformat(), None):
        changed = await owner.patch(f"/v1/api-keys/{made['id']}", json={"expires_at": expires_at})
        assert datetime.fromisoformat(changed.json()["versions"][0]["ends_at"]) == soon


async def test_finishing_ends_the_old_text_now(service: CredentialsService) -> None:
    """All replaced ones at once; a second time changes nothing and leaves no trace."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    first = await service.new_key(tenant_id)
    second = await rotate(owner, first, 3600)
    third = await rotate(owner, first, 3600)
    assert [await works(service, key) for key in (first, second, third)] == [True, True, True]
    finished = [await owner.post(f"/v1/api-keys/{first['id']}/rotate/finish") for _ in range(2)]
    assert [answer.status_code for answer in finished] == [200, 200]
    assert statuses(finished[0].json()) == ["ended", "ended", "active"]
    assert [await works(service, key) for key in (first, second, third)] == [False, False, True]
    assert await _actions(service, first) == ["api_key.created", *["api_key.rotated"] * 2, "api_key.rotation_finished"]


async def test_undoing_restores_the_old_text_and_ends_the_new_one(service: CredentialsService) -> None:
    """Step by step, the last rotation first; a later rotation takes the next number."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    first = await service.new_key(tenant_id)
    second = await rotate(owner, first, 3600)
    third = await rotate(owner, first, 3600)
    undo = f"/v1/api-keys/{first['id']}/rotate/undo"
    undone = (await owner.post(undo)).json()
    assert statuses(undone) == ["overlap", "active", "ended"]
    assert (undone["prefix"], "key" in undone) == (second["prefix"], False)
    assert [await works(service, key) for key in (first, second, third)] == [True, True, False]
    undone = (await owner.post(undo)).json()
    assert statuses(undone) == ["active", "ended", "ended"]
    assert undone["versions"][0]["ends_at"] is None
    assert (await owner.post(undo)).status_code == 409
    fourth = await rotate(owner, first, 3600)
    assert statuses(fourth) == ["overlap", "ended", "ended", "active"]
    assert [await works(service, key) for key in (first, second, third, fourth)] == [True, False, False, True]
    assert statuses((await owner.post(undo)).json()) == ["active", "ended", "ended", "ended"]


async def test_revoking_ends_every_version(service: CredentialsService) -> None:
    """The current one and those in overlap; then nothing of a rotation is possible."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    first = await service.new_key(tenant_id)
    second = await rotate(owner, first, 3600)
    assert [await works(service, key) for key in (first, second)] == [True, True]
    revoked = (await owner.post(f"/v1/api-keys/{first['id']}/revoke")).json()
    assert statuses(revoked) == ["ended", "ended"]
    assert all(datetime.fromisoformat(version["ends_at"]) <= datetime.now(UTC) for version in revoked["versions"])
    assert [await works(service, key) for key in (first, second)] == [False, False]
    for call in ("rotate", "rotate/finish", "rotate/undo"):
        answer = await owner.post(f"/v1/api-keys/{first['id']}/{call}", json=_body_of(call))
        assert (answer.status_code, answer.json()["code"]) == (409, "api_key_not_active")


async def test_rotating_again_and_again_keeps_few_alive(service: CredentialsService) -> None:
    """At the limit another rotation waits for an end; an overlap is never made longer by a later one."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    rotated = await rotate(owner, made, 60)
    end = rotated["versions"][0]["ends_at"]
    for _ in range(LIVE_IN_OVERLAP_MAX - 1):
        rotated = await rotate(owner, made, 3600)
    assert rotated["versions"][0]["ends_at"] == end
    refused = await owner.post(f"/v1/api-keys/{made['id']}/rotate", json={"overlap_seconds": 60})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_versions")
    await owner.post(f"/v1/api-keys/{made['id']}/rotate/finish")
    await rotate(owner, made, 60)


async def test_old_versions_are_forgotten(service: CredentialsService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are kept, the newest."""
    monkeypatch.setattr("credentials.key_rotation.overlap.KEPT_MAX", 3)
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    for _ in range(6):
        rotated = await rotate(owner, made, 0)
    assert [version["number"] for version in rotated["versions"]] == [5, 6, 7]
    assert [version["number"] for version in (await owner.get(f"/v1/api-keys/{made['id']}")).json()["versions"]] == [
        5,
        6,
        7,
    ]


async def test_a_rotation_lends_nobody_a_stronger_text(service: CredentialsService) -> None:
    """Whoever rotates gets the new text: so it must have all that the key has. Ending the old one it may."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    weak = service.client((await service.new_key(tenant_id, scopes=["api_keys:write", "events:read"]))["key"])
    strong = await service.new_key(tenant_id, roles=["support"])
    rotated = await rotate(owner, strong, 3600)
    for call in ("rotate", "rotate/undo"):
        answer = await weak.post(f"/v1/api-keys/{strong['id']}/{call}", json=_body_of(call))
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_escalation")
    assert "key" not in answer.json()
    assert [await works(service, key) for key in (strong, rotated)] == [True, True]
    assert (await weak.post(f"/v1/api-keys/{strong['id']}/rotate/finish")).status_code == 200
    equal = await service.new_key(tenant_id, scopes=["events:read"])
    assert await works(service, await rotate(weak, equal, 0))


async def test_a_test_platform_key_does_not_reach_live_platform_keys(service: CredentialsService) -> None:
    """Environments never mix, also for the platform's own."""
    scopes = ["tenants:read", "tenants:write", "api_keys:read", "api_keys:write"]
    test = service.client((await service.new_key(None, kind="service", environment="test", scopes=scopes))["key"])
    live = await service.new_key(None, kind="service", scopes=scopes)
    for call in ("revoke", "rotate", "rotate/finish", "rotate/undo"):
        answer = await test.post(f"/v1/api-keys/{live['id']}/{call}", json=_body_of(call))
        assert answer.status_code == 404
    rotated = await rotate(service.platform, live, 3600)
    assert [await works(service, key) for key in (live, rotated)] == [True, True]


async def test_a_repeated_rotation_answers_without_the_text(service: CredentialsService) -> None:
    """The same Idempotency-Key rotates once, also at the same time."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    first = await rotate(owner, made, 60, idempotency_key="once")
    again = await rotate(owner, made, 60, idempotency_key="once")
    text = first.pop("key")
    assert again == first
    other = await owner.post(
        f"/v1/api-keys/{made['id']}/rotate", json={"overlap_seconds": 61}, headers={"idempotency-key": "once"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    async with service.resources.database.connection() as connection:
        kept = str((await connection.exec_driver_sql("SELECT convert_from(body, 'UTF8') FROM idempotency_keys")).all())
        kept += str((await connection.exec_driver_sql("SELECT changes FROM audit_entries")).all())
    assert text not in kept


async def test_rotations_at_once_take_turns(service: CredentialsService) -> None:
    """Each makes a version of its own, and one is current."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    rotated = await asyncio.gather(*(rotate(owner, made, 60) for _ in range(4)))
    assert len({key["key"] for key in rotated}) == 4
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert statuses(shown) == [*["overlap"] * 4, "active"]


async def test_each_version_has_its_own_last_use(service: CredentialsService) -> None:
    """So that an owner sees who still uses the old text."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    rotated = await rotate(owner, made, 60)
    await service.client(made["key"], client_ip="192.0.2.1").get("/v1/whoami")
    await service.resources.last_uses.flush()
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert [version["last_used_at"] is None for version in shown["versions"]] == [False, True]
    assert (shown["last_used_at"], shown["last_used_ip"]) == (shown["versions"][0]["last_used_at"], "192.0.2.1")
    await service.client(rotated["key"], client_ip="192.0.2.2").get("/v1/whoami")
    await service.resources.last_uses.flush()
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert (shown["last_used_at"], shown["last_used_ip"]) == (shown["versions"][1]["last_used_at"], "192.0.2.2")


NO_OVERLAPS: tuple[Any, ...] = (-1, 30 * 86_400 + 1, "60", True, 1.5, None, [])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/overlap_seconds"),
        *(({"overlap_seconds": value}, "/overlap_seconds") for value in NO_OVERLAPS),
        ({"overlap_seconds": 0, "key": "mine"}, "/key"),
    ],
    ids=str,
)
async def test_malformed_rotations_are_pointed_at(
    service: CredentialsService, body: dict[str, Any], pointer: str
) -> None:
    """422 with the pointer, and the key stays as it was."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    answer = await owner.post(f"/v1/api-keys/{made['id']}/rotate", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert statuses((await owner.get(f"/v1/api-keys/{made['id']}")).json()) == ["active"]


async def _actions(service: CredentialsService, key: dict[str, Any]) -> list[str]:
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT action FROM audit_entries WHERE target_id = $1 ORDER BY number", (key["id"],)
        )
        return list(rows.scalars())
