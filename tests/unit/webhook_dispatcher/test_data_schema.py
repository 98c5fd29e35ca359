"""Schemas from outside: what is taken, what checking costs at most, and what is told about a fault."""

import json
import time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_dispatcher.event_types.data_schema import EVENT_WORK_MAX, CheckBudget, DataSchema
from webhook_dispatcher.event_types.realm_type import RealmTypeRef, is_own_name
from webhook_dispatcher.event_types.schema_limits import DEPTH_MAX, NODES_MAX, SchemaRefusedError, measure
from webhook_dispatcher.event_types.schema_memory import SchemaMemory

#: A busy machine is given ten times what the worst check took when it was measured.
SECONDS_MAX = 5.0


def compiled(schema: dict[str, Any]) -> DataSchema:
    return DataSchema.from_outside(schema, json.dumps(schema).encode())


def fault_of(schema: dict[str, Any], data: bytes) -> tuple[str, str] | None:
    fault = compiled(schema).fault(data, budget=CheckBudget())
    return None if fault is None else (fault["pointer"], fault["detail"])


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels - 1):
        schema = {"properties": {"a": schema}}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """Return a schema of which each level refers twice to the next."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**steps, f"a{levels}": {"type": "string"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"$ref": "https://schemas.example.com/order.json"}, "/$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/$ref"),
        ({"$ref": "other.json"}, "/$ref"),
        ({"$ref": "#anchor"}, "/$ref"),
        ({"$ref": "#/$defs/none"}, "/$ref"),
        ({"$ref": 5}, "/$ref"),
        ({"$ref": "#"}, ""),
        ({"properties": {"child": {"$ref": "#"}}}, ""),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}, "/$defs/a"),
        ({"$dynamicRef": "#x"}, "/$dynamicRef"),
        ({"items": {"$anchor": "x"}}, "/items/$anchor"),
        ({"$recursiveRef": "#"}, "/$recursiveRef"),
        ({"unevaluatedProperties": False}, "/unevaluatedProperties"),
        ({"allOf": [{"unevaluatedItems": False}]}, "/allOf/0/unevaluatedItems"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema"),
        ({"$schema": "https://schemas.example.com/mine"}, "/$schema"),
        ({"$defs": {"a": {"$id": "https://x.example"}}}, "/$defs/a/$id"),
        ({"pattern": "(?=look)ahead"}, "/pattern"),
        ({"pattern": r"(back)\1"}, "/pattern"),
        ({"pattern": "("}, "/pattern"),
        ({"pattern": "a{1000}{1000}"}, "/pattern"),
        ({"patternProperties": {"(": True}}, "/patternProperties/("),
        ({"type": "nonsense"}, "/type"),
        ({"properties": {"a": 5}}, "/properties/a"),
        ({"required": "name"}, "/required"),
        ({"enum": list(range(NODES_MAX))}, ""),
        ({"allOf": [{"pattern": "a"}] * 40}, ""),
    ],
)
def test_a_schema_that_is_not_bounded_or_not_one_is_refused(schema: dict[str, Any], pointer: str) -> None:
    """With a pointer to the place; nothing is fetched to find out."""
    with pytest.raises(SchemaRefusedError) as refused:
        compiled(schema)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://acme.example/order"},
        {"$defs": {"money": {"type": "string"}}, "properties": {n: {"$ref": "#/$defs/money"} for n in "abc"}},
        # Names of properties are no keywords.
        {"properties": {"$ref": {"type": "string"}, "$id": {}, "unevaluatedItems": {"type": "integer"}}},
        {"const": {"$ref": "https://not.a.reference.example"}},
        {"properties": {"a/b": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"type": "string"}}},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "dependentRequired": {"c": ["d"]}},
    ],
)
def test_what_integrators_write_is_taken(schema: dict[str, Any]) -> None:
    """References within, conditions, and properties named as keywords are."""
    compiled(schema)


def test_depth_and_size_count_references_as_written_out() -> None:
    """So a few short lines cannot stand for a million checks."""
    compiled(nested(DEPTH_MAX))
    with pytest.raises(SchemaRefusedError, match="nested deeper"):
        compiled(nested(DEPTH_MAX + 1))
    assert measure(doubling(6)) > 2**6
    for levels in (12, 25, 400):
        started = time.perf_counter()
        with pytest.raises(SchemaRefusedError):
            compiled(doubling(levels))
        assert time.perf_counter() - started < SECONDS_MAX


def _zeros(size: int) -> bytes:
    return b"[" + b",".join([b"0"] * ((size - 2) // 2)) + b"]"


HOSTILE: list[tuple[dict[str, Any], bytes]] = [
    ({"items": {"allOf": [{"type": "integer"}] * 3}}, _zeros(1 << 20)),
    ({"items": {"allOf": [{"type": "integer"}] * 1500}}, _zeros(5_000)),
    ({"items": {"anyOf": [{"type": "string"}] * 6}}, _zeros(1 << 20)),
    ({"anyOf": [{"items": {"type": "string"}}] * 2}, _zeros(1 << 20)),
    ({"not": {"not": {"items": {"type": "integer"}}}}, _zeros(1 << 20)),
    ({"uniqueItems": True}, b"[" + b",".join(b'{"a":%d}' % n for n in range(40_000)) + b"]"),
    ({"items": {"multipleOf": 0.0001}}, _zeros(500_000)),
    ({"pattern": "^(a+)+$"}, b'"' + b"a" * 150_000 + b'!"'),
    ({"pattern": "(a|b)*a(a|b){10}c"}, b'"' + b"ab" * 75_000 + b'd"'),
    ({"pattern": "(?:[ab]{1,80}c?){2}d"}, b'"' + b"abb" * 50_000 + b'd"'),
    ({"additionalProperties": False}, b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}"),
]


@pytest.mark.parametrize(("schema", "data"), HOSTILE, ids=[json.dumps(schema)[:40] for schema, _ in HOSTILE])
def test_the_worst_check_and_its_explanation_are_bounded(schema: dict[str, Any], data: bytes) -> None:
    """However a schema and an event conspire."""
    schema_of_type = compiled(schema)
    assert schema_of_type.nodes * len(data) <= EVENT_WORK_MAX, "the check itself is what is measured here"
    started = time.perf_counter()
    schema_of_type.fault(data, budget=CheckBudget())
    assert time.perf_counter() - started < SECONDS_MAX


def test_what_would_cost_too_much_is_refused_unchecked() -> None:
    """One event that is too large for its schema, and events that are together; a small schema takes the largest event."""
    small, large = {"type": "object"}, {"allOf": [{"pattern": "a"}] * 30}
    data = json.dumps({"text": "a" * 500_000}).encode()
    assert fault_of(small, data) is None
    pointer, detail = fault_of(large, data) or ("", "")
    assert (pointer, "too large" in detail) == ("", True)
    budget = CheckBudget(work_left=2 * compiled(small).nodes * len(data))
    faults = [compiled(small).fault(data, budget=budget) for _ in range(3)]
    assert [fault is None for fault in faults] == [True, True, False]


def test_a_fault_names_the_place_and_never_the_value() -> None:
    """The rule may be quoted, what a client's event holds may not."""
    schema = {"properties": {"iban": {"type": "array", "items": {"properties": {"no~t/e": {"maxLength": 3}}}}}}
    pointer, detail = fault_of(schema, b'{"iban":[{},{"no~t/e":"DE0212030000"}]}') or ("", "")
    assert pointer == "/iban/1/no~0t~1e"
    assert "DE02" not in detail
    assert "3" in detail


def test_alternatives_are_explained_as_long_as_that_is_cheap() -> None:
    """Beyond a body's budget the answer says that it does not fit, without the place."""
    schema = compiled({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}})
    budget = CheckBudget(explained_work_left=schema.nodes * 10)
    faults = [schema.fault(b'{"a":5}', budget=budget) for _ in range(20)]
    places = [fault["pointer"] for fault in faults if fault is not None]
    assert (len(places), places[0], places[-1]) == (20, "/a", "")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_are_compared_exactly(number: Decimal) -> None:
    """A bound that no float holds is kept, in both directions."""
    schema = {"properties": {"amount": {"maximum": 12345678901234567890}}}
    fits = fault_of(schema, b'{"amount":%b}' % str(number).replace("E", "e").encode()) is None
    assert fits is (number <= 12345678901234567890)


def test_numbers_beyond_checking_are_refused_and_not_guessed() -> None:
    """An exponent of twenty digits is no number that a rule can be held against."""
    assert fault_of({}, b'{"a":1e99999999999999999999}') == ("", "holds a number that is too large to be checked")
    assert fault_of({"properties": {"a": {"type": "integer"}}}, b'{"a":1e999999999}') is None


def test_the_memory_of_schemas_is_bounded() -> None:
    """The least used goes first; one that is larger than all room is still usable while it is the newest."""
    schema = compiled({"type": "object"})
    memory = SchemaMemory(nodes_max=3 * schema.nodes)
    refs = [RealmTypeRef(UUID(int=n), 1) for n in range(4)]
    for ref in refs[:3]:
        memory.put(ref, schema)
    assert memory.get(refs[0]) is schema
    memory.put(refs[3], schema)
    assert [memory.get(ref) is schema for ref in refs] == [True, False, True, True]
    assert memory.get(RealmTypeRef(refs[0].id, 2)) is None


@pytest.mark.parametrize("name", ["acme.order", "loyalty.points_earned", "a.b.c.d", "a_1.2", "a." + "b" * 126])
def test_own_names_are_dotted_and_lower_case(name: str) -> None:
    """As the built-in ones are."""
    assert is_own_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "acme", ".a", "a.", "a..b", "Acme.order", "acme.órder", "acme.order-placed", "a b.c", "a.b\n"),
        *("a." + "b" * 127, "withdrawal.custom", "payment.refunded", "webhook.failing2", "wallet.x", "kyc.rejected"),
    ],
)
def test_other_names_are_none_of_a_realms(name: str) -> None:
    """Built-in functions are reserved altogether."""
    assert not is_own_name(name)
