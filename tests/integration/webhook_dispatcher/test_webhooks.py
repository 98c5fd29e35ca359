"""Registering, showing, listing, changing and deleting webhooks, with the bounds of every field."""

from typing import Any

import pytest

from support.dispatcher_service import URL, DispatcherService, Tenant

MINIMAL = {"name": "Payouts", "url": URL, "events": ["withdrawal.*"]}
SHOWN = {
    *("id", "name", "url", "events", "trigger", "format", "crm_signature", "signature_header", "enabled", "headers"),
    *("disabled_reason", "disabled_at", "retry_delays_seconds", "timeout_seconds", "max_in_flight", "rate_per_second"),
    *("ordered", "description", "metadata", "environment", "created_at", "created_by", "updated_at"),
}
DAY = 86_400


def _header_map(count: int) -> dict[str, str]:
    return {f"X-Custom-{number}": "v" for number in range(count)}


GOOD: list[dict[str, Any]] = [
    {"name": "x"},
    {"name": "x" * 128},
    {"name": "Zahlungen für Zoë 😀"},
    {"url": "https://example.com/" + "a" * 2028},
    {"url": "https://example.com:8443/a?b=c"},
    {"url": "https://bücher.example/"},
    {"events": ["*"]},
    {"events": ["withdrawal.approved.*", "kyc.rejected"]},
    {"events": ["withdrawal.*"] * 100},
    *({"trigger": value} for value in ("first", "every")),
    {"format": "standard"},
    *({"format": "crm", "crm_signature": value} for value in ("hex", "prefixed")),
    {"format": "timestamped", "signature_header": "X-Pay-Signature"},
    {"signature_header": None},
    {"signature_header": "X-Signature"},
    *({"enabled": value} for value in (True, False)),
    {"headers": {}},
    {"headers": _header_map(20)},
    {"headers": {"X-A": "~" * 2048}},
    {"headers": {"a" * 64: "x y"}},
    {"retry_delays_seconds": []},
    {"retry_delays_seconds": [1] * 20},
    {"retry_delays_seconds": [30 * DAY]},
    *({"timeout_seconds": value} for value in (1, 30, None)),
    *({"max_in_flight": value} for value in (1, 200)),
    *({"rate_per_second": value} for value in (1, 10_000, None)),
    {"ordered": False},
    *({"description": value} for value in (None, "", "d" * 1024)),
    {"metadata": {}},
    {"metadata": {str(number): "v" for number in range(50)}},
    {"metadata": {"k" * 64: "v" * 512}},
]


def bad(name: str, *values: Any, at: str = "") -> list[tuple[dict[str, Any], str]]:
    """Return, for each value that the field must not have, the body's change and the pointer."""
    return [({name: value}, f"/{name}{at}") for value in values]


BAD: list[tuple[dict[str, Any], str]] = [
    *bad("name", "", "x" * 129, "a\nb", "a\x00b", "\x7f", None, 5, ["x"]),
    *bad("url", "", None, 5, "ftp://example.com/", "http://example.com/", "https://example.com/" + "a" * 2029),
    *bad("events", [], None, "withdrawal.*", {}, ["nope"], ["withdrawal"], ["Withdrawal.*"], ["*.rejected"], [""]),
    *bad("events", ["withdrawal.*"] * 101, ["x" * 129], ["withdrawl.*"], ["withdrawal.approved.node.11"]),
    *bad("events", [5], [None], at="/0"),
    *bad("trigger", "last", None, 1, "FIRST"),
    *bad("format", "xml", None, 1),
    *bad("crm_signature", "base64", None),
    *bad("signature_header", "", "a b", "a:b", "é", "host", "Webhook-Signature", "content-type", "x" * 65, 5),
    *bad("enabled", None, "yes", 1, "true"),
    *bad("headers", None, [], "x", _header_map(21), {"": "x"}, {"a b": "x"}, {"é": "x"}, {"X-A": "é"}, {"X-A": "a\nb"}),
    *bad(
        "headers",
        {"X-A": ""},
        {"X-A": " a"},
        {"X-A": "a "},
        {"X-A": "a" * 2049},
        {"a" * 65: "x"},
        {"X-A": "1", "x-a": "2"},
    ),
    *bad("headers", *({name: "x"} for name in ("Host", "content-length", "Webhook-Id", "WEBHOOK-SIGNATURE", "Cookie"))),
    *bad("headers", *({name: "x"} for name in ("Transfer-Encoding", "connection", "user-agent", "X-Crm-Signature"))),
    *bad("headers", {"X-A": 5}, {"X-A": None}, at="/X-A"),
    *bad("retry_delays_seconds", None, 5, "5", [1] * 21, [30 * DAY, 1], [15 * DAY, 15 * DAY + 1]),
    *bad("retry_delays_seconds", [0], [-1], ["5"], [1.5], [None], [True], [30 * DAY + 1], at="/0"),
    *bad("timeout_seconds", 0, 31, -1, "15", 1.5, True, [], 10**30),
    *bad("max_in_flight", 0, 201, None, "20", True),
    *bad("rate_per_second", 0, 10_001, "5", False),
    *bad("ordered", True, None, "no"),
    *bad("description", "d" * 1025, "a\x00b", "a\x1bb", 5),
    *bad("metadata", None, [], {str(number): "v" for number in range(51)}, {"k" * 65: "v"}, {"k": "v" * 513}),
    *bad("metadata", {"k": 5}, {"k": None}, {"k": {}}, {"k": "a\x00b"}, at="/k"),
    *bad("colour", "red"),
    *bad("id", "wh_00000000000000000000000000"),
    *bad("tenant_id", "ten_00000000000000000000000000"),
    *bad("environment", "test"),
    *bad("status", "enabled"),
    *bad("created_by", "me"),
]
CREATE_ONLY = {"format", "enabled", "ordered", "secret"}


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


@pytest.mark.parametrize("fields", GOOD, ids=lambda fields: str(fields)[:60])
async def test_the_bounds_of_each_field_are_accepted(service: DispatcherService, fields: dict[str, Any]) -> None:
    """At creation and by a change, and shown as they were given."""
    tenant = await _shared_tenant(service)
    base = {**MINIMAL, **({"events": ["kyc.*"]} if fields.get("format") == "crm" else {})}
    answer = await tenant.owner.post("/v1/webhooks", json={**base, **fields})
    assert answer.status_code == 201, answer.text
    _assert_shown(answer.json(), fields)
    change = {name: value for name, value in fields.items() if name not in CREATE_ONLY}
    if change == {"timeout_seconds": None}:
        return
    changed = await tenant.owner.patch(f"/v1/webhooks/{answer.json()['id']}", json=change)
    assert changed.status_code == 200, changed.text
    _assert_shown(changed.json(), change)


def _assert_shown(webhook: dict[str, Any], fields: dict[str, Any]) -> None:
    wanted = {name: value for name, value in fields.items() if (name, value) != ("timeout_seconds", None)}
    if "events" in wanted:
        wanted["events"] = list(dict.fromkeys(wanted["events"]))
    assert {name: webhook[name] for name in wanted} == wanted


@pytest.mark.parametrize(("fields", "pointer"), BAD, ids=[str(case[0])[:60] for case in BAD])
async def test_a_bad_field_is_pointed_at(service: DispatcherService, fields: dict[str, Any], pointer: str) -> None:
    """422 at creation and by a change; nothing is made, nothing changes."""
    tenant = await _shared_tenant(service)
    before = (await tenant.owner.get("/v1/webhooks")).json()
    answers = [await tenant.owner.post("/v1/webhooks", json={**MINIMAL, **fields})]
    name = next(iter(fields))
    if fields != {"timeout_seconds": None}:
        answers.append(await tenant.owner.patch(f"/v1/webhooks/{before['data'][0]['id']}", json=fields))
    for answer in answers:
        assert answer.status_code == 422, answer.text
        told = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        unknown = answer is answers[-1] and name in CREATE_ONLY
        assert {error["pointer"] for error in told["errors"]} == {f"/{name}" if unknown else pointer}, told
    assert (await tenant.owner.get("/v1/webhooks")).json() == before


_TENANTS: dict[int, Tenant] = {}


async def _shared_tenant(service: DispatcherService) -> Tenant:
    """Return one tenant with a webhook for all cases of a table: a new one for each would take a minute."""
    key = id(service)
    if key not in _TENANTS:
        _TENANTS[key] = await service.new_tenant()
        await _TENANTS[key].new_webhook()
    return _TENANTS[key]


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
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
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
