"""The catalogue of built-in event types, and the two calls that show it."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from shared import key_format, typeids
from shared.access import Address, Principal, required_scope
from shared.app_factory import Check, create_service_app
from shared.database import Database
from shared.settings import ServiceSettings
from support.apps import in_memory
from webhook_dispatcher.deliveries.wire_formats import crm_slug
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.event_type import EventType
from webhook_dispatcher.event_types.routes import router

APPROVALS = [f"approved.node.{node}" for node in range(1, 11)]
TABLE = {
    "withdrawal": [*APPROVALS, "rejected"],
    "prop_trading": [*APPROVALS, "rejected"],
    "prop_trading_live": [*APPROVALS, "rejected"],
    "transfer": [*APPROVALS, "rejected", "completed", "failed", "reversed", "needs_review"],
    "kyc": [*APPROVALS, "rejected"],
    **{name: ["succeeded", "failed", "pending"] for name in ("payment", "payout", "refund", "invoice", "collection")},
    "credential": ["revoked", "rotated"],
    "webhook": ["failing", "disabled", "recovered"],
    "wallet": ["reconciliation_break"],
}
NAMES = [f"{function}.{rest}" for function, rests in TABLE.items() for rest in rests]


def by_name(event_type: EventType) -> str:
    return event_type.name


def test_every_type_of_the_contract_exists_and_no_other() -> None:
    """The names are those of the API's table."""
    assert sorted(map(by_name, catalogue.all_types())) == sorted(NAMES)
    assert len(NAMES) == 80


@pytest.mark.parametrize("event_type", catalogue.all_types(), ids=by_name)
def test_every_example_fits_its_schema(event_type: EventType) -> None:
    """The schema is valid under draft 2020-12, the example fits it, and extra fields are allowed."""
    validator = jsonschema_rs.Draft202012Validator(event_type.json_schema, validate_formats=True)
    validator.validate(event_type.example)
    validator.validate({**event_type.example, "field_of_their_own": [1]})
    validator.validate({})
    described = event_type.json_schema["properties"]
    assert event_type.example.keys() <= described.keys(), "an example shows only fields that the schema describes"
    assert all("$schema" not in schema for schema in described.values())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("withdrawal.rejected", {"status": "done"}),
        ("withdrawal.rejected", {"trading_id": "purse"}),
        ("withdrawal.rejected", {"request_time": "2026-07-01T08:15:42Z"}),
        ("prop_trading_live.approved.node.1", {"type": "prop_trading_live"}),
        ("kyc.rejected", {"kyc_flow": {"total_steps": "two"}}),
        ("transfer.completed", {"status": "failed"}),
        ("payment.failed", {"status": "succeeded"}),
    ],
)
def test_schemas_say_no(name: str, wrong: dict[str, Any]) -> None:
    """A schema is more than decoration: what contradicts the documented fields does not fit."""
    event_type = catalogue.find(name)
    assert event_type is not None
    assert not jsonschema_rs.is_valid(event_type.json_schema, {**event_type.example, **wrong})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("withdrawal.rejected", {"trading_id": "WALLET", "withdrawal_amount": 225.4, "exchange_rate": 0.92}),
        ("prop_trading_live.rejected", {"leverage": "50", "initial_balance": 50000}),
    ],
)
def test_publishers_may_send_numbers_or_strings(name: str, fields: dict[str, Any]) -> None:
    """Where the CRM's documents disagree, both forms fit."""
    event_type = catalogue.find(name)
    assert event_type is not None
    assert jsonschema_rs.is_valid(event_type.json_schema, {**event_type.example, **fields})


def test_examples_of_requests_speak_of_their_type() -> None:
    """An approval's example is approved, a rejection's is rejected, and steps follow the node."""
    for event_type in catalogue.all_types():
        if crm_slug(event_type.name) is None:
            continue
        example = event_type.example
        outcome = "rejected" if event_type.name.endswith(".rejected") else "approved"
        assert example["status"] == outcome
        assert re.fullmatch(r"[a-z0-9]{8}", example["id"])
        assert ("prop_trading_flow" in example) == (outcome == "approved" and event_type.function.startswith("prop"))
    transfer = catalogue.find("transfer.approved.node.3")
    assert transfer is not None
    assert transfer.example["transfer_flow"] == {"total_steps": 3, "current_steps": 3}


def test_ids_in_our_own_examples_are_ids() -> None:
    """Ids of ours in examples are well-formed, so that code written against them works on real ones."""
    found = 0
    for function in ("credential", "webhook", "wallet"):
        for event_type in catalogue.all_types():
            if event_type.function != function:
                continue
            for field, prefix in (("credential_id", "key"), ("webhook_id", "wh"), ("external_wallet_id", "ew")):
                if field in event_type.example:
                    typeids.decode(prefix, event_type.example[field])
                    found += 1
    assert found == 6


def test_nodes_share_one_schema() -> None:
    """The ten approvals of a function cost one schema in memory."""
    first, last = catalogue.find("kyc.approved.node.1"), catalogue.find("kyc.approved.node.10")
    assert first is not None
    assert last is not None
    assert first.json_schema is last.json_schema


def test_functions_and_look_ups() -> None:
    """Every type belongs to the function its name begins with; unknown names are not known."""
    assert all(catalogue.function_of(item.name) == item.function for item in catalogue.all_types())
    assert {"withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc"} == catalogue.REQUEST_FUNCTIONS
    assert catalogue.is_known("kyc.rejected")
    for name in ("", "kyc", "kyc.rejected.", "KYC.rejected", "kyc.approved.node.0", "kyc.approved.node.11"):
        assert not catalogue.is_known(name)
        assert catalogue.find(name) is None


READER, STRANGER = key_format.generate("secret", "live"), key_format.generate("secret", "live")


class FakeAccess:
    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        del ip, scope
        scopes = {"webhooks:read"} if credential == READER else set()
        return Principal(
            credential_id="key_1",
            kind="secret",
            name="test",
            tenant_id=typeids.new_id(),
            environment="live",
            scopes=frozenset(scopes),
        )


class FakeResources:
    database: Database
    access = FakeAccess()

    def checks(self) -> Mapping[str, Check]:
        return {}


@pytest.fixture
def app() -> FastAPI:
    @asynccontextmanager
    async def open_resources(_registry: CollectorRegistry) -> AsyncIterator[FakeResources]:
        yield FakeResources()

    return create_service_app(
        title="webhook-dispatcher",
        version="0",
        description="",
        settings=ServiceSettings.for_documentation(),
        open_resources=open_resources,
        routers=[router],
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(app, headers={"x-api-key": READER}) as client:
        yield client


async def test_list_pages_through_every_type(client: httpx2.AsyncClient) -> None:
    """Following the cursor shows each type once, in the catalogue's order."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        response = await client.get("/v1/event-types", params={"limit": 30, **({"cursor": cursor} if cursor else {})})
        assert response.status_code == 200, response.text
        body = response.json()
        assert body.keys() == {"data", "next_cursor"}
        names += [item["name"] for item in body["data"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert names == [item.name for item in catalogue.all_types()]


async def test_one_page_can_hold_them_all(client: httpx2.AsyncClient) -> None:
    """The default page has 50; the largest has every type and no cursor."""
    assert len((await client.get("/v1/event-types")).json()["data"]) == 50
    body = (await client.get("/v1/event-types?limit=200")).json()
    assert (len(body["data"]), body["next_cursor"]) == (80, None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=AAAAAAAAAAAAAAAAAAAAAA", "sort=name"]
)
async def test_list_refuses_bad_queries(client: httpx2.AsyncClient, query: str) -> None:
    """Bad limits, foreign cursors and unknown parameters are problems that name the parameter."""
    response = await client.get(f"/v1/event-types?{query}")
    assert response.status_code == 422
    assert query.partition("=")[0] in response.json()["errors"][0]["pointer"]


async def test_get_shows_schema_and_example(client: httpx2.AsyncClient) -> None:
    """One type comes with all that an integrator needs to write a receiver."""
    body = (await client.get("/v1/event-types/withdrawal.approved.node.2")).json()
    assert body.keys() == {"name", "function", "description", "json_schema", "example", "built_in"}
    assert (body["function"], body["built_in"]) == ("withdrawal", True)
    jsonschema_rs.validate(body["json_schema"], body["example"])


async def test_an_unknown_type_is_not_found(client: httpx2.AsyncClient) -> None:
    """The answer is a problem, not an empty body."""
    response = await client.get("/v1/event-types/withdrawal.approved.node.11")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_reading_needs_its_scope(client: httpx2.AsyncClient) -> None:
    """A credential without ``webhooks:read`` is told what it lacks, and none at all is asked for one."""
    for path in ("/v1/event-types", "/v1/event-types/kyc.rejected"):
        refused = await client.get(path, headers={"x-api-key": STRANGER})
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert (await client.get(path, headers={"x-api-key": ""})).status_code == 401


def test_document_describes_both_calls(app: FastAPI) -> None:
    """Both calls demand the scope of the contract, and the OpenAPI document has every status they answer with."""
    assert [required_scope(route) for route in router.routes] == ["webhooks:read"] * 2
    paths = app.openapi()["paths"]
    assert {"200", "401", "403", "422"} <= paths["/v1/event-types"]["get"]["responses"].keys()
    assert {"200", "401", "403", "404", "422"} <= paths["/v1/event-types/{name}"]["get"]["responses"].keys()
