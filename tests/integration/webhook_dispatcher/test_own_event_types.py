"""Event types that a tenant defines: made, shown, changed, removed; published and selected, and their schemas kept."""

from typing import Any

import orjson
import pytest

from shared import typeids
from support.dispatcher_service import URL, DispatcherService, Tenant, payment, withdrawal
from webhook_dispatcher.event_types import catalogue

PATH = "/v1/event-types"
SCHEMA = {
    "type": "object",
    "required": ["points"],
    "properties": {"points": {"type": "integer", "minimum": 1}, "reason": {"type": "string", "maxLength": 20}},
}
ORDER = {
    "name": "loyalty.points_earned",
    "description": "A client earned points.",
    "json_schema": SCHEMA,
    "example": {"points": 120},
}


async def _define(tenant: Tenant, **fields: Any) -> dict[str, Any]:
    answer = await tenant.owner.post(PATH, json={**ORDER, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def points(number: int, **data: Any) -> dict[str, Any]:
    return {"id": f"points-{number}", "type": ORDER["name"], "data": {"points": number, **data}}


async def _refused(tenant: Tenant, *events: dict[str, Any]) -> tuple[str, list[str]]:
    answer = await tenant.publisher.post("/v1/events", json={"events": list(events)})
    assert answer.status_code == 422, answer.text
    return answer.json()["code"], [error["pointer"] for error in answer.json()["errors"]]


async def test_a_type_is_defined_and_shown(tenant: Tenant) -> None:
    """As it was given; in the list the own ones come first, newest first, and the built-in ones after them."""
    made = await _define(tenant)
    assert made == {**ORDER, "function": "loyalty", "built_in": False}
    assert (await tenant.owner.get(f"{PATH}/{ORDER['name']}")).json() == made
    await _define(tenant, name="loyalty.points_spent")
    listed = (await tenant.owner.get(PATH, params={"limit": 200})).json()["data"]
    built_in = [item.name for item in catalogue.all_types()]
    assert [item["name"] for item in listed] == ["loyalty.points_spent", "loyalty.points_earned", *built_in]
    assert [item["built_in"] for item in listed[:3]] == [False, False, True]


@pytest.mark.parametrize("limit", [1, 2, 30, 82, 83])
async def test_the_list_pages_through_own_and_built_in_types(tenant: Tenant, limit: int) -> None:
    """Each once, whichever page the border falls on."""
    for number in range(3):
        await _define(tenant, name=f"loyalty.level_{number}")
    names: list[str] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = (await tenant.owner.get(PATH, params=query)).json()
        assert len(page["data"]) <= limit
        names += [item["name"] for item in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert names == [*(f"loyalty.level_{n}" for n in (2, 1, 0)), *(item.name for item in catalogue.all_types())]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=AAAAAAAAAAAAAAAAAAAAAA", "sort=name"]
)
async def test_the_list_refuses_bad_queries(tenant: Tenant, query: str) -> None:
    """Bad limits, foreign cursors and unknown parameters are problems that name the parameter."""
    answer = await tenant.owner.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["errors"][0]["pointer"]


async def test_an_unknown_type_is_not_found(tenant: Tenant) -> None:
    """By any call; and a built-in one is neither changed nor removed."""
    for method, body in (("GET", None), ("PATCH", {"description": "x"}), ("DELETE", None)):
        answer = await tenant.owner.request(method, f"{PATH}/acme.nothing", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        fixed = await tenant.owner.request(method, f"{PATH}/kyc.rejected", json=body)
        assert (fixed.status_code, fixed.json().get("code")) in {(200, None), (409, "event_type_reserved")}
        assert (fixed.status_code == 200) is (method == "GET")


@pytest.mark.parametrize(
    ("fields", "status", "code", "pointer"),
    [
        ({"name": "withdrawal.custom"}, 409, "event_type_reserved", None),
        ({"name": "kyc.rejected"}, 409, "event_type_reserved", None),
        ({"name": "loyalty"}, 422, "validation_failed", "/name"),
        ({"name": "Loyalty.points"}, 422, "validation_failed", "/name"),
        ({"name": "loyalty." + "x" * 128}, 422, "validation_failed", "/name"),
        ({"description": ""}, 422, "validation_failed", "/description"),
        ({"description": "a\nb"}, 422, "validation_failed", "/description"),
        ({"json_schema": True}, 422, "validation_failed", "/json_schema"),
        ({"json_schema": {"$ref": "http://127.0.0.1/x"}}, 422, "schema_refused", "/json_schema/$ref"),
        ({"json_schema": {"type": "nope"}}, 422, "schema_refused", "/json_schema/type"),
        ({"json_schema": {"x": "a" * 70_000}}, 422, "validation_failed", "/json_schema"),
        ({"json_schema": {"minimum": 10**30}}, 422, "validation_failed", "/json_schema/minimum"),
        ({"example": {"points": 0}}, 422, "example_breaks_schema", "/example/points"),
        ({"example": {}}, 422, "example_breaks_schema", "/example"),
        ({"example": []}, 422, "validation_failed", "/example"),
        ({"example": {"points": 1, "x": "a" * 70_000}}, 422, "validation_failed", "/example"),
        ({"example": {"points": 1, "x": 10**30}}, 422, "validation_failed", "/example/x"),
        ({"colour": "red"}, 422, "validation_failed", "/colour"),
    ],
)
async def test_what_cannot_be_a_type_is_refused(
    tenant: Tenant, fields: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    """With its reason and its place; nothing was made."""
    answer = await tenant.owner.post(PATH, json={**ORDER, **fields})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert [error["pointer"] for error in problem.get("errors", [])] == ([pointer] if pointer else [])
    assert len((await tenant.owner.get(PATH, params={"limit": 200})).json()["data"]) == len(catalogue.all_types())


async def test_a_number_beyond_floats_is_refused(tenant: Tenant) -> None:
    """Not turned into another."""
    body = orjson.dumps({**ORDER, "example": "@"}).replace(b'"@"', b'{"points":1,"x":1e400}')
    answer = await tenant.owner.post(PATH, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/example/x")


async def test_a_name_is_taken_once_and_a_repeated_request_is_the_same(tenant: Tenant) -> None:
    """409 for a second one; the same answer again for the same Idempotency-Key; another environment has its own."""
    key = {"idempotency-key": "define-1"}
    first = await tenant.owner.post(PATH, json=ORDER, headers=key)
    again = await tenant.owner.post(PATH, json=ORDER, headers=key)
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    taken = await tenant.owner.post(PATH, json=ORDER)
    assert (taken.status_code, taken.json()["code"]) == (409, "event_type_exists")
    assert (await tenant.tester.get(f"{PATH}/{ORDER['name']}")).status_code == 404
    assert (await tenant.tester.post(PATH, json=ORDER)).status_code == 201


async def test_own_types_are_a_realms_own(service: DispatcherService, tenant: Tenant) -> None:
    """Another tenant neither sees nor publishes nor selects nor changes them."""
    await _define(tenant)
    other = await service.new_tenant("Other Broker")
    path = f"{PATH}/{ORDER['name']}"
    assert (await other.owner.get(path)).status_code == 404
    assert (await other.owner.patch(path, json={"description": "mine"})).status_code == 404
    assert (await other.owner.delete(path)).status_code == 404
    assert await _refused(other, points(1)) == ("unknown_event_type", ["/events/0/type"])
    answer = await other.owner.post("/v1/webhooks", json={"name": "x", "url": URL, "events": ["loyalty.*"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/events")


async def test_own_types_are_published_and_selected(tenant: Tenant) -> None:
    """By name, by prefix and by `*`; every match is sent, whatever the trigger; `data` passes untouched."""
    await _define(tenant)
    for selector in ("loyalty.points_earned", "loyalty.*", "*"):
        await tenant.new_webhook(events=[selector])
    body = b'{"id":"p","type":"loyalty.points_earned","subject":"s","data":{ "points":12,\n"x":1.10, "x2":1e400 }}'
    answer = await tenant.publisher.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 202, answer.text
    shown = await tenant.owner.get("/v1/events/p")
    assert (shown.json()["type"], shown.json()["matched"]) == ("loyalty.points_earned", 3)
    assert b'"data":{ "points":12,\n"x":1.10, "x2":1e400 }' in shown.content
    await tenant.publish(points(2), {**points(3), "subject": "s"}, {**points(4), "subject": "s"})
    assert len(await tenant.deliveries()) == 12


@pytest.mark.parametrize("form", ["single", "batch"])
async def test_data_that_breaks_its_schema_is_refused_with_the_pointer(tenant: Tenant, form: str) -> None:
    """For own and for built-in types; nothing of the request is accepted."""
    await _define(tenant)
    bad = points(0, reason="x")
    if form == "single":
        answer = await tenant.publisher.post("/v1/events", json=bad)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "data_breaks_schema")
        assert [error["pointer"] for error in problem["errors"]] == ["/data/points"]
    else:
        told = await _refused(tenant, points(1), bad, points(2, reason="too long " * 5), payment(1))
        assert told == ("data_breaks_schema", ["/events/1/data/points", "/events/2/data/reason"])
    assert (await tenant.owner.get("/v1/events")).json()["data"] == []
    wrong = withdrawal(1, data={"status": "done", "custom_fields": []})
    assert await _refused(tenant, withdrawal(2), wrong) == ("data_breaks_schema", ["/events/1/data/status"])
    nested = withdrawal(1, data={"custom_fields": [{"key": "iban"}, {"key": 5}]})
    assert await _refused(tenant, nested) == ("data_breaks_schema", ["/events/0/data/custom_fields/1/key"])


async def test_events_of_unknown_own_names_are_refused(tenant: Tenant) -> None:
    """As a typo in a built-in one is, and a mix of faults has each its pointer."""
    await _define(tenant)
    assert await _refused(tenant, {**points(1), "type": "loyalty.points_eaned"}) == (
        "unknown_event_type",
        ["/events/0/type"],
    )
    code, pointers = await _refused(tenant, {**points(1), "type": "acme.x"}, points(0))
    assert (code, pointers) == ("invalid_event", ["/events/0/type", "/events/1/data/points"])


async def test_changes_hold_from_the_next_event_on_in_every_process(tenant: Tenant) -> None:
    """A process that remembers an older picture refuses and accepts by the newest one all the same."""
    await tenant.publish(payment(1))  # the process has a picture of the realm from before
    await _define(tenant)
    await tenant.publish(points(5))
    path = f"{PATH}/{ORDER['name']}"
    strict = {**SCHEMA, "properties": {"points": {"type": "integer", "minimum": 100}}}
    changed = await tenant.owner.patch(path, json={"json_schema": strict})
    assert (changed.status_code, changed.json()["json_schema"]) == (200, strict)
    assert await _refused(tenant, points(6)) == ("data_breaks_schema", ["/events/0/data/points"])
    assert (await tenant.owner.patch(path, json={"json_schema": SCHEMA})).status_code == 200
    await tenant.publish(points(6))
    assert (await tenant.owner.delete(path)).status_code == 204
    assert await _refused(tenant, points(7)) == ("unknown_event_type", ["/events/0/type"])
    # What was accepted stays.
    assert (await tenant.owner.get("/v1/events/points-6")).status_code == 200
    await _define(tenant, json_schema=strict)
    assert await _refused(tenant, points(8)) == ("data_breaks_schema", ["/events/0/data/points"])


async def test_a_change_must_fit_together(tenant: Tenant) -> None:
    """The example that stays is checked against the schema that comes, and the other way round."""
    await _define(tenant)
    path = f"{PATH}/{ORDER['name']}"
    strict = {**SCHEMA, "required": ["points", "reason"]}
    for body, code in (({"json_schema": strict}, "example_breaks_schema"), ({"example": {}}, "example_breaks_schema")):
        answer = await tenant.owner.patch(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    both = await tenant.owner.patch(path, json={"json_schema": strict, "example": {"points": 1, "reason": "r"}})
    assert both.status_code == 200
    for field in ("description", "json_schema", "example"):
        answer = await tenant.owner.patch(path, json={field: None})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    renamed = await tenant.owner.patch(path, json={"name": "loyalty.other"})
    assert (renamed.status_code, renamed.json()["errors"][0]["pointer"]) == (422, "/name")


async def test_a_type_that_a_webhook_names_is_not_removed(tenant: Tenant) -> None:
    """Until the webhook no longer does; a prefix is no name."""
    await _define(tenant)
    prefixed = await tenant.new_webhook(events=["loyalty.*"])
    named = await tenant.new_webhook(events=[ORDER["name"], "kyc.*"])
    path = f"{PATH}/{ORDER['name']}"
    kept = await tenant.owner.delete(path)
    assert (kept.status_code, kept.json()["code"]) == (409, "event_type_in_use")
    assert (await tenant.owner.patch(f"/v1/webhooks/{named['id']}", json={"events": ["kyc.*"]})).status_code == 200
    assert (await tenant.owner.delete(path)).status_code == 204
    # The selector that covers nothing any more may stay where it is.
    kept_selector = await tenant.owner.patch(f"/v1/webhooks/{prefixed['id']}", json={"name": "renamed"})
    assert kept_selector.status_code == 200


async def test_the_number_of_own_types_is_bounded(tenant: Tenant, service: DispatcherService) -> None:
    """200 in an environment."""
    await service.rows(
        "INSERT INTO event_types (id, tenant_id, environment, name, description, json_schema, example, created_by)"
        " SELECT uuidv7(), w.tenant_id, 'live', 'acme.n' || n, 'x', '{}', '{}', 'x'"
        " FROM generate_series(1, 199) n, (SELECT tenant_id FROM webhooks WHERE name = :name) w",
        name=(await tenant.new_webhook(name=f"of {tenant.id}"))["name"],
    )
    await _define(tenant)
    answer = await tenant.owner.post(PATH, json={**ORDER, "name": "acme.one_more"})
    assert (answer.status_code, answer.json()["code"]) == (409, "event_type_limit_reached")


async def test_the_crm_format_has_no_envelope_for_own_types(tenant: Tenant) -> None:
    """So its webhooks cannot select them."""
    await _define(tenant)
    wanted = {"name": "x", "url": URL, "format": "crm", "events": ["kyc.*", "loyalty.*"]}
    answer = await tenant.owner.post("/v1/webhooks", json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/events/1")


async def test_a_test_event_of_an_own_type_sends_its_example(tenant: Tenant) -> None:
    """Marked, as always."""
    await _define(tenant)
    webhook = await tenant.new_webhook()
    sent = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/test", json={"event_type": ORDER["name"]})
    assert sent.status_code == 202, sent.text
    shown = (await tenant.owner.get(f"/v1/events/{sent.json()['event_id']}")).json()
    assert (shown["data"], shown["test"]) == (ORDER["example"], True)


async def test_each_change_is_audited(tenant: Tenant, service: DispatcherService) -> None:
    """Who defined, changed and removed what."""
    await _define(tenant)
    path = f"{PATH}/{ORDER['name']}"
    await tenant.owner.patch(path, json={"description": "Other."})
    await tenant.owner.delete(path)
    rows = await service.rows(
        "SELECT action, actor, changes FROM audit_entries WHERE target = :target AND tenant_id = :tenant ORDER BY id",
        target=ORDER["name"],
        tenant=typeids.decode("ten", tenant.id),
    )
    assert [row.action for row in rows] == ["event_type.created", "event_type.changed", "event_type.deleted"]
    assert rows[1].changes == {"fields": ["description"]}
    assert all(row.actor.startswith("key_") for row in rows)
