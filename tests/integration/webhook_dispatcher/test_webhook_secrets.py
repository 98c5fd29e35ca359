"""Secrets: shown, revealed, rotated with an overlap, own ones in the form of their format; sealed at rest."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from shared import typeids
from support.dispatcher_service import URL, DispatcherService, Tenant

DAY = 86_400


def whsec(size: int) -> str:
    """Return a standard secret of so many key bytes."""
    return "whsec_" + base64.b64encode(bytes(range(size))).decode()


OWN_SECRETS = [
    ("standard", whsec(24)),
    ("standard", whsec(64)),
    ("crm", "x" * 16),
    ("crm", "~" * 128),
    ("crm", whsec(24)),
    ("crm", "It's a Secret to Everybody"),
    ("timestamped", "sk_test_0123456789abcdef"),
]
BAD_SECRETS = [
    ("standard", whsec(23)),
    ("standard", whsec(65)),
    ("standard", "x" * 40),
    ("standard", "whsec_" + "!" * 40),
    ("standard", "whsk_" + "A" * 40),
    ("crm", "x" * 15),
    ("crm", "x" * 129),
    ("crm", "sixteen chars é!"),
    ("crm", "tab\tin the secret"),
    ("timestamped", "x" * 15),
    ("standard", ""),
    ("standard", 5),
    ("crm", ["x" * 16]),
]


def _fields(webhook_format: str, secret: Any) -> dict[str, Any]:
    return {"format": webhook_format, "secret": secret, "events": ["kyc.*"]}


async def _reveal(tenant: Tenant, webhook: dict[str, Any]) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/secret/reveal")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    shown: dict[str, Any] = answer.json()
    return shown


async def _rotate(tenant: Tenant, webhook: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/secret/rotate", json=body)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.parametrize("webhook_format", ["standard", "crm", "timestamped"])
async def test_a_generated_secret_is_one_that_verifiers_take(tenant: Tenant, webhook_format: str) -> None:
    """`whsec_` and base64 of 24 to 64 bytes, another one each time, shown at creation and by reveal alone."""
    made = [await tenant.new_webhook(format=webhook_format, events=["kyc.*"]) for _ in range(2)]
    keys = {base64.b64decode(webhook["secret"].removeprefix("whsec_"), validate=True) for webhook in made}
    assert len(keys) == 2
    assert all(24 <= len(key) <= 64 for key in keys)
    Verifier(made[0]["secret"])
    revealed = await _reveal(tenant, made[0])
    assert (revealed["secret"], revealed["previous_expires_at"]) == (made[0]["secret"], None)


@pytest.mark.parametrize(("webhook_format", "secret"), OWN_SECRETS)
async def test_an_own_secret_is_kept_as_it_is(tenant: Tenant, webhook_format: str, secret: str) -> None:
    """At creation and at rotation."""
    made = await tenant.new_webhook(**_fields(webhook_format, secret))
    assert made["secret"] == (await _reveal(tenant, made))["secret"] == secret
    generated = await tenant.new_webhook(format=webhook_format, events=["kyc.*"])
    assert (await _rotate(tenant, generated, secret=secret))["secret"] == secret
    assert (await _reveal(tenant, generated))["secret"] == secret


@pytest.mark.parametrize(("webhook_format", "secret"), BAD_SECRETS)
async def test_a_secret_of_another_form_is_refused(tenant: Tenant, webhook_format: str, secret: Any) -> None:
    """422 at /secret, without the secret in it; the old one stays the only one."""
    made = await tenant.new_webhook(format=webhook_format, events=["kyc.*"])
    path = f"/v1/webhooks/{made['id']}/secret/rotate"
    created = await tenant.owner.post("/v1/webhooks", json={"name": "x", "url": URL, **_fields(webhook_format, secret)})
    rotated = await tenant.owner.post(path, json={"secret": secret})
    for answer in (created, rotated):
        assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/secret"]), answer.text
        assert not (secret and isinstance(secret, str) and secret in answer.text)
    assert (await _reveal(tenant, made))["previous_expires_at"] is None


async def test_both_secrets_are_active_during_the_overlap(tenant: Tenant, service: DispatcherService) -> None:
    """24 hours unless told otherwise; the new one is first."""
    made = await tenant.new_webhook()
    before = datetime.now(UTC)
    rotated = await _rotate(tenant, made)
    ends = datetime.fromisoformat(rotated["previous_expires_at"])
    assert timedelta(seconds=DAY - 60) < ends - before < timedelta(seconds=DAY + 60)
    assert rotated["secret"] != made["secret"]
    assert await _reveal(tenant, made) == rotated
    rows = await service.rows(
        "SELECT expires_at FROM webhook_secrets WHERE webhook_id = :id ORDER BY id", id=typeids.decode("wh", made["id"])
    )
    assert [row.expires_at for row in rows] == [ends, None]


async def test_a_rotation_never_prolongs_an_earlier_overlap(tenant: Tenant, service: DispatcherService) -> None:
    """A secret that was to end in a minute ends then, however long the next overlap is; without one it ends at once."""
    made = await tenant.new_webhook()
    first = await _rotate(tenant, made, overlap_seconds=60)
    second = await _rotate(tenant, made, overlap_seconds=30 * DAY)
    expiries = "SELECT expires_at FROM webhook_secrets WHERE webhook_id = :id ORDER BY id"
    rows = await service.rows(expiries, id=typeids.decode("wh", made["id"]))
    assert [row.expires_at and row.expires_at.isoformat()[:26] for row in rows] == [
        first["previous_expires_at"][:26],
        second["previous_expires_at"][:26],
        None,
    ]
    third = await _rotate(tenant, made, overlap_seconds=0)
    assert (await _reveal(tenant, made)) == {**third, "previous_expires_at": None}


@pytest.mark.parametrize("overlap", [-1, 30 * DAY + 1, "5", 1.5, None, True])
async def test_a_bad_overlap_is_refused(tenant: Tenant, overlap: Any) -> None:
    """0 to 30 days."""
    made = await tenant.new_webhook()
    answer = await tenant.owner.post(f"/v1/webhooks/{made['id']}/secret/rotate", json={"overlap_seconds": overlap})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/overlap_seconds")


async def test_a_repeated_rotation_rotates_once(tenant: Tenant) -> None:
    """With an Idempotency-Key; the replay shows no secret."""
    made = await tenant.new_webhook()
    path, headers = f"/v1/webhooks/{made['id']}/secret/rotate", {"idempotency-key": "rotate-1"}
    first = await tenant.owner.post(path, headers=headers)
    again = await tenant.owner.post(path, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert "secret" not in again.json()
    assert (await _reveal(tenant, made))["secret"] == first.json()["secret"]


async def test_a_secret_that_was_sent_or_made_stands_nowhere_in_clear(
    tenant: Tenant, service: DispatcherService
) -> None:
    """Sealed in its table, absent from the audit entries and from the kept answers."""
    headers = {"idempotency-key": "make-secret"}
    own = "canary secret of a CRM"
    body = {"name": "x", "url": URL, **_fields("crm", own)}
    made = (await tenant.owner.post("/v1/webhooks", json=body, headers=headers)).json()
    rotated = await _rotate(tenant, made)
    await _reveal(tenant, made)
    for table in ("webhooks", "webhook_secrets", "audit_entries", "idempotency_keys"):
        rows = await service.rows(f"SELECT * FROM {table}")  # noqa: S608 - names of ours
        assert rows
        found = b" ".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
        for secret in (own, rotated["secret"]):
            assert secret.encode() not in found
            assert base64.b64encode(secret.encode()) not in found


async def test_the_number_of_secrets_that_sign_at_once_is_bounded(tenant: Tenant) -> None:
    """Beyond ten a rotation waits for an overlap to end, or does without one; signature headers stay short."""
    webhook = await tenant.new_webhook()
    path = f"/v1/webhooks/{webhook['id']}/secret/rotate"
    statuses = [(await tenant.owner.post(path)).status_code for _ in range(10)]
    assert statuses == [200] * 9 + [409]
    assert (await tenant.owner.post(path)).json()["code"] == "too_many_secrets"
    assert (await tenant.owner.post(path, json={"overlap_seconds": 0})).status_code == 200
    assert (await tenant.owner.post(path)).status_code == 200
