"""Denials are bounded in memory, and wait where they cannot be written."""

from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import pytest

from credentials.audit import denials as module
from credentials.audit.denials import Denials, DeniedCredential
from shared.database import Database
from shared.typeids import new_id

CREDENTIAL = DeniedCredential(id="key_x", kind="api_key", tenant_id=new_id(), environment="live")


class FailingDatabase:
    """A database that is away, or takes what it is given."""

    def __init__(self) -> None:
        self.is_away = True

    @asynccontextmanager
    async def transaction(self) -> Any:
        if self.is_away:
            raise ConnectionRefusedError
        yield self


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what is recorded."""
    entries: list[dict[str, Any]] = []

    async def record(_session: object, **entry: Any) -> None:
        entries.append(entry)

    monkeypatch.setattr(module, "record", record)
    return entries


def denials_on(database: FailingDatabase) -> Denials:
    """Return a collector that writes to this database."""
    return Denials(cast("Database", database))


async def test_what_cannot_be_written_waits(written: list[dict[str, Any]]) -> None:
    """And is counted together with what came meanwhile."""
    database = FailingDatabase()
    denials = denials_on(database)
    for _ in range(3):
        denials.note(CREDENTIAL, reason="revoked", ip=None)
    await denials.flush()
    denials.note(CREDENTIAL, reason="revoked", ip=None)
    assert written == []
    database.is_away = False
    await denials.flush()
    assert [entry["changes"]["count"] for entry in written] == [4]
    await denials.flush(at_once=True)
    assert len(written) == 1


async def test_memory_is_bounded(written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, places not yet known are left out; known ones are still counted."""
    monkeypatch.setattr(module, "PLACES_MAX", 2)
    database = FailingDatabase()
    database.is_away = False
    denials = denials_on(database)
    for reason in ("revoked", "expired", "address_not_allowed", "revoked"):
        denials.note(CREDENTIAL, reason=reason, ip=None)
    await denials.flush()
    assert [(entry["denied_because"], entry["changes"]["count"]) for entry in written] == [
        ("revoked", 2),
        ("expired", 1),
    ]


async def test_one_chain_can_be_written_alone(written: list[dict[str, Any]]) -> None:
    """Another owner's denials do not delay the one who reads; the platform's keys have a chain of their own."""
    database = FailingDatabase()
    database.is_away = False
    denials = denials_on(database)
    platform = DeniedCredential(id="key_p", kind="api_key", tenant_id=None, environment="live")
    denials.note(CREDENTIAL, reason="revoked", ip=None)
    denials.note(platform, reason="expired", ip=None)
    await denials.flush(chain_id=UUID(int=0))
    assert [entry["target"].id for entry in written] == ["key_p"]
    await denials.flush()
    assert [entry["target"].id for entry in written] == ["key_p", "key_x"]
