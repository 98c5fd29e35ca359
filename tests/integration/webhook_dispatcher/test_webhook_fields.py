"""The bounds of every field of a webhook: what is accepted at them, and what is refused beyond them, with its pointer."""

from typing import Any

import pytest

from support.dispatcher_service import URL, DispatcherService, Tenant

MINIMAL = {"name": "Payouts", "url": URL, "events": ["withdrawal.*"]}
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
    {"headers": {"X-A": "~ " * 1023 + "~~"}},  # in words: a long one would be masked
    {"headers": {"a" * 64: "x y"}},
    {"retry_delays_seconds": []},
    {"retry_delays_seconds": [1] * 20},
    {"retry_delays_seconds": [30 * DAY]},
    *({"timeout_seconds": value} for value in (1, 30, None)),
    *({"max_in_flight": value} for value in (1, 200)),
    *({"rate_per_second": value} for value in (1, 10_000, None)),
    {"ordered": False},
    {"ordered": True},
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
    *bad("ordered", None, "no", 1),
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
CREATE_ONLY = {"format", "enabled", "secret"}


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
