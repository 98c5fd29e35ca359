"""Ed25519 keys of webhooks: made when wished for, public halves shown, private ones never; rotated with the secret."""

from datetime import datetime
from typing import Any

import pytest

from shared import typeids
from shared.ed25519_signatures import SigningKey, VerifyingKey
from support.dispatcher_service import DispatcherService, Tenant
from webhook_dispatcher.webhooks.sealing import secret_context


async def _show(tenant: Tenant, webhook: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = (await tenant.owner.get(f"/v1/webhooks/{webhook['id']}")).json()
    return shown


async def _post(tenant: Tenant, webhook: dict[str, Any], call: str, **body: Any) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/secret/{call}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_key_is_made_when_it_is_wished_for(tenant: Tenant) -> None:
    """None by default; one with `ed25519`, which list, creation and show tell alike."""
    plain, keyed = await tenant.new_webhook(), await tenant.new_webhook(ed25519=True)
    assert (plain["ed25519"], plain["public_keys"]) == (False, [])
    [key] = keyed["public_keys"]
    VerifyingKey.parse(key["public_key"])
    assert (keyed["ed25519"], key["expires_at"]) == (True, None)
    assert (await _show(tenant, keyed))["public_keys"] == [key]
    listed = (await tenant.owner.get("/v1/webhooks")).json()["data"]
    assert [item["public_keys"] for item in listed] == [[key], []]


async def test_the_private_half_is_sealed_and_shown_to_nobody(tenant: Tenant, service: DispatcherService) -> None:
    """Not by reveal, not at creation, not in the clear in any row; sealed for its own row it opens."""
    made = await tenant.new_webhook(ed25519=True)
    texts = [str(made), str(await _post(tenant, made, "reveal")), str(await _post(tenant, made, "rotate"))]
    assert not any("whsk_" in text for text in texts)
    rows = await service.rows(
        "SELECT id, sealed_secret, public_key FROM webhook_secrets WHERE webhook_id = :id AND kind = 'ed25519' ORDER BY id",
        id=typeids.decode("wh", made["id"]),
    )
    keyring = service.resources.webhooks._secrets._keyring
    for row in rows:
        assert b"whsk_" not in row.sealed_secret
        context = secret_context(tenant_id=typeids.decode("ten", tenant.id), secret_id=row.id)
        key = SigningKey.parse(keyring.open(row.sealed_secret, context=context).decode())
        assert key.public_text == row.public_key
    assert len(rows) == 2


async def test_a_rotation_replaces_secret_and_key_with_one_overlap(tenant: Tenant) -> None:
    """The new key is first, the old one ends with the old secret; a webhook without a key gets none."""
    made = await tenant.new_webhook(ed25519=True)
    rotated = await _post(tenant, made, "rotate", overlap_seconds=600)
    new, old = rotated["public_keys"]
    assert (new["expires_at"], old["public_key"]) == (None, made["public_keys"][0]["public_key"])
    assert datetime.fromisoformat(old["expires_at"]) == datetime.fromisoformat(rotated["previous_expires_at"])
    assert (await _show(tenant, made))["public_keys"] == [new, old]
    assert (await _post(tenant, made, "reveal"))["public_keys"] == [new, old]
    at_once = await _post(tenant, made, "rotate", overlap_seconds=0)
    assert len(at_once["public_keys"]) == 1
    assert (await _post(tenant, await tenant.new_webhook(), "rotate"))["public_keys"] == []


async def test_wishing_for_it_twice_keeps_the_key_and_switching_off_ends_it(tenant: Tenant) -> None:
    """So that a repeated PATCH changes no receiver; one that comes back later is another key."""
    made = await tenant.new_webhook(ed25519=True)
    path = f"/v1/webhooks/{made['id']}"
    again = await tenant.owner.patch(path, json={"ed25519": True})
    assert again.json()["public_keys"] == made["public_keys"]
    untouched = await tenant.owner.patch(path, json={"name": "other"})
    assert untouched.json()["public_keys"] == made["public_keys"]
    off = await tenant.owner.patch(path, json={"ed25519": False})
    assert (off.json()["ed25519"], off.json()["public_keys"]) == (False, [])
    on = (await tenant.owner.patch(path, json={"ed25519": True})).json()
    assert on["public_keys"] != made["public_keys"]


@pytest.mark.parametrize("value", [None, "true", 1, "whsk_x", {}])
async def test_the_wish_is_true_or_false(tenant: Tenant, value: Any) -> None:
    """Anything else is pointed at."""
    made = await tenant.new_webhook()
    answer = await tenant.owner.patch(f"/v1/webhooks/{made['id']}", json={"ed25519": value})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/ed25519")


async def test_the_change_is_audited(tenant: Tenant, service: DispatcherService) -> None:
    """Who wanted it, without a key in the entry."""
    made = await tenant.new_webhook()
    await tenant.owner.patch(f"/v1/webhooks/{made['id']}", json={"ed25519": True})
    rows = await service.rows(
        "SELECT changes FROM audit_entries WHERE action = 'webhook.changed' AND target = :target", target=made["id"]
    )
    assert [row.changes for row in rows] == [{"ed25519": True}]
