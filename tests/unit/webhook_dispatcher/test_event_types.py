"""The catalogue of built-in event types."""

import re
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.deliveries.wire_formats import crm_slug
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.event_type import EventType
from webhook_dispatcher.events import operational

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


def test_the_ten_approvals_share_one_compiled_schema() -> None:
    """As they share the schema itself; no other name has one."""
    assert catalogue.data_schema("kyc.approved.node.1") is catalogue.data_schema("kyc.approved.node.10")
    assert catalogue.data_schema("kyc.rejected") is not catalogue.data_schema("kyc.approved.node.1")
    assert catalogue.data_schema("acme.order") is None


def test_what_is_reported_of_webhooks_fits_its_own_schema() -> None:
    """Causeway keeps the schemas that it asks of others, field by field."""
    about = operational.Subject(
        webhook_id=typeids.new_id(), name="n", realm=Realm(tenant_id=typeids.new_id(), environment="live")
    )
    now = datetime(2026, 7, 1, tzinfo=UTC)
    reports = [
        operational.failing(about, at=now, failing_since=now, failures=10, last_status=None, last_error="refused"),
        operational.failing(about, at=now, failing_since=now, failures=10, last_status=500, last_error=None),
        operational.recovered(about, at=now, waiting=3),
        operational.disabled(about, at=now, reason="gone"),
    ]
    for report in reports:
        kind = catalogue.find(f"webhook.{report.kind}")
        assert kind is not None
        data = {"webhook_id": typeids.encode("wh", about.webhook_id), "name": about.name, **report.data}
        jsonschema_rs.validate(kind.json_schema, data)
        assert data.keys() == kind.json_schema["properties"].keys()
