"""Registering, showing, listing, changing and deleting webhooks, with the bounds of every field."""

from typing import Any

import pytest

from support.dispatcher_service import URL, DispatcherService, Tenant

MINIMAL = {"name": "Payouts", "url": URL, "events": ["withdrawal.*"]}
SHOWN = {
    *("id", "name", "url", "events", "trigger", "format", "crm_signature", "signature_header", "enabled", "headers"),
    *("disabled_reason", "disabled_at", "retry_delays_seconds", "timeout_seconds", "max_in_flight", "rate_per_second"),
    *("ed25519", "public_keys"),
    *("ordered", "description", "metadata", "environment", "created_at", "created_by", "updated_at"),
}


async def test_a_webhook_is_made_with_the_documented_defaults(tenant: Tenant) -> None:
    """201, an id, a secret, and what the contract says of every field that was left out."""
    made = await tenant.new_webhook(name="Payouts", events=["withdrawal.*"])
    assert made.keys() == {*SHOWN, "secret"}
    assert made["id"].startswith("wh_")
    assert made["secret"].startswith("whsec_")
    assert made["created_by"].startswith("key_")
    assert made["created_at"] == made["updated_at"]
    assert made["created_at"].endswith("Z")
    expected = {
        "name": "Payouts",
        "url": URL,
        "events": ["withdrawal.*"],
        "trigger": "first",
        "format": "standard",
        "enabled": True,
        "ed25519": False,
        "public_keys": [],
        "headers": {},
        "timeout_seconds": 15,
        "rate_per_second": None,
        "ordered": False,
        "description": None,
        "metadata": {},
        "environment": "live",
        "disabled_reason": None,
        "disabled_at": None,
        "retry_delays_seconds": [5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400, 86400],
    }
    assert {name: made[name] for name in expected} == expected
    assert (await tenant.new_webhook(format="crm", events=["kyc.*"]))["timeout_seconds"] == 10
    shown = (await tenant.owner.get(f"/v1/webhooks/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}


@pytest.mark.parametrize("missing", ["name", "url", "events"])
async def test_what_is_required_is_pointed_at(tenant: Tenant, missing: str) -> None:
    """An absent field has a pointer, too."""
    answer = await tenant.owner.post("/v1/webhooks", json={k: v for k, v in MINIMAL.items() if k != missing})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, [f"/{missing}"])


async def test_the_crm_format_takes_request_functions_alone(tenant: Tenant) -> None:
    """Its envelope is defined for them, and is guessed for no other type, neither at creation nor by a change."""
    wanted = {**MINIMAL, "format": "crm", "events": ["kyc.*", "payment.*"]}
    answer = await tenant.owner.post("/v1/webhooks", json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/events/1")
    webhook = await tenant.new_webhook(format="crm", events=["kyc.*"])
    changed = await tenant.owner.patch(f"/v1/webhooks/{webhook['id']}", json={"events": ["*"]})
    assert (changed.status_code, changed.json()["errors"][0]["pointer"]) == (422, "/events/0")


async def test_a_change_touches_only_what_was_sent(tenant: Tenant) -> None:
    """The rest stays; what may be empty can be emptied; an empty change is none of them."""
    made = await tenant.new_webhook(description="d", rate_per_second=5, metadata={"a": "b"}, headers={"X-A": "1"})
    path = f"/v1/webhooks/{made['id']}"
    changed = (
        await tenant.owner.patch(path, json={"name": "New", "description": None, "rate_per_second": None})
    ).json()
    expected = {
        **made,
        "name": "New",
        "description": None,
        "rate_per_second": None,
        "updated_at": changed["updated_at"],
    }
    del expected["secret"]
    assert changed == expected
    assert changed["updated_at"] > made["updated_at"]
    again = (await tenant.owner.patch(path, json={})).json()
    assert {**again, "updated_at": None} == {**changed, "updated_at": None}


async def test_values_of_credential_headers_are_masked(tenant: Tenant, service: DispatcherService) -> None:
    """What looks like a credential is shown to nobody, in no answer, and is sealed in the database."""
    headers = {
        "Authorization": "Bearer canary-1",
        "X-Api-Key": "canary-2",
        "X-Auth-Token": "canary-3",
        "X-Pwd": "canary-5",
        "X-Innocent": "canary-6-0123456789abcdef",
        "X-Region": "eu",
    }
    made = await tenant.new_webhook(headers=headers)
    path = f"/v1/webhooks/{made['id']}"
    answers = [
        made,
        (await tenant.owner.get(path)).json(),
        (await tenant.owner.get("/v1/webhooks")).json()["data"][0],
        (await tenant.owner.patch(path, json={"headers": {**headers, "X-Secret": "canary-4"}})).json(),
        (await tenant.owner.post(f"{path}/disable")).json(),
        (await tenant.owner.post(f"{path}/enable")).json(),
    ]
    for shown in answers:
        assert "canary" not in str(shown)
        assert shown["headers"]["Authorization"] == "••••"
        assert shown["headers"]["X-Region"] == "eu"
    for table in ("webhooks", "audit_entries", "idempotency_keys"):
        assert "canary" not in str(await service.rows(f"SELECT t::text FROM {table} t"))  # noqa: S608 - names of ours


async def test_lists_are_filtered_and_paged_newest_first(tenant: Tenant) -> None:
    """Every webhook once, also when more are made meanwhile."""
    made = [await tenant.new_webhook(name=f"Hook {number}", enabled=number % 2 == 0) for number in range(5)]
    newest_first = [webhook["id"] for webhook in reversed(made)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        params: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await tenant.owner.get("/v1/webhooks", params=params)).json()
        seen += [webhook["id"] for webhook in page["data"]]
        cursor = page["next_cursor"]
        await tenant.new_webhook(name="Later")
    assert (seen, cursor) == (newest_first, None)

    async def ids(**params: Any) -> list[str]:
        return [item["id"] for item in (await tenant.owner.get("/v1/webhooks", params=params)).json()["data"]]

    assert await ids(enabled=False) == [newest_first[1], newest_first[3]]
    assert await ids(q="hook 3") == [newest_first[1]]
    assert len(await ids(q="HOOKS.example", enabled=True, limit=200)) == 6
    assert await ids(q="%") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=abc", "cursor=é", "enabled=maybe", "colour=red"]
)
async def test_bad_list_parameters_are_refused(tenant: Tenant, query: str) -> None:
    """422 that names the parameter; unknown ones are never ignored."""
    answer = await tenant.owner.get(f"/v1/webhooks?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == f"query/{query.partition('=')[0]}"


async def test_a_deleted_webhook_is_gone(tenant: Tenant) -> None:
    """204 once, then as if it had never been, in every call."""
    webhook = await tenant.new_webhook()
    path = f"/v1/webhooks/{webhook['id']}"
    assert (await tenant.owner.delete(path)).status_code == 204
    assert (await tenant.owner.delete(path)).status_code == 404
    assert (await tenant.owner.get(path)).status_code == 404
    assert (await tenant.owner.patch(path, json={})).status_code == 404
    for action in ("enable", "disable", "secret/reveal", "secret/rotate"):
        assert (await tenant.owner.post(f"{path}/{action}")).status_code == 404
    assert (await tenant.owner.get("/v1/webhooks")).json()["data"] == []


async def test_a_repeated_creation_makes_one_webhook_and_shows_no_secret_again(tenant: Tenant) -> None:
    """Idempotency-Key: the same body gives the first answer without its secret, another body is refused."""
    headers = {"idempotency-key": "make-1"}
    first = await tenant.owner.post("/v1/webhooks", json=MINIMAL, headers=headers)
    again = await tenant.owner.post("/v1/webhooks", json=MINIMAL, headers=headers)
    other = await tenant.owner.post("/v1/webhooks", json={**MINIMAL, "name": "Other"}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-store"
    assert again.json() == {name: value for name, value in first.json().items() if name != "secret"}
    assert other.json()["code"] == "idempotency_mismatch"
    assert len((await tenant.owner.get("/v1/webhooks")).json()["data"]) == 1
