"""The hash chain of the audit log."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from credentials.audit.chain import FIRST_PREVIOUS_HASH, AuditEntry, canonical_json, entry_hash

ENTRY = AuditEntry(
    id=UUID(int=1),
    chain_id=UUID(int=2),
    number=1,
    environment="live",
    at=datetime(2030, 1, 1, tzinfo=UTC),
    action="api_key.created",
    actor_kind="api_key",
    actor_id="key_x",
    target_kind="api_key",
    target_id="key_y",
    outcome="allowed",
    reason=None,
    request_id="r",
    ip="192.0.2.1",
    changes="{}",
)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AuditEntry)])
def test_every_field_is_covered(field: str) -> None:
    """Changing anything in an entry changes its hash."""
    value = getattr(ENTRY, field)
    if isinstance(value, datetime):
        other: object = value + timedelta(microseconds=1)
    elif isinstance(value, UUID):
        other = UUID(int=9)
    else:
        other = 2 if isinstance(value, int) else f"{value}!"
    changes: dict[str, Any] = {field: other}
    changed = dataclasses.replace(ENTRY, **changes)
    assert entry_hash(changed, previous_hash=FIRST_PREVIOUS_HASH) != entry_hash(
        ENTRY, previous_hash=FIRST_PREVIOUS_HASH
    )


def test_the_hash_before_is_covered() -> None:
    """An entry cannot be moved to another place, nor the one before it be replaced."""
    assert entry_hash(ENTRY, previous_hash=bytes(31) + b"1") != entry_hash(ENTRY, previous_hash=FIRST_PREVIOUS_HASH)


def test_canonical_json_is_one_text_for_one_value() -> None:
    """Order of keys does not matter; times are UTC with Z."""
    assert canonical_json({"b": 1, "a": [2]}) == canonical_json({"a": [2], "b": 1}) == '{"a":[2],"b":1}'
    assert canonical_json({"at": ENTRY.at}) == '{"at":"2030-01-01T00:00:00Z"}'
