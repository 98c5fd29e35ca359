"""Redaction: payloads go before the rest of the history does, never from under a delivery that is still owed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.access import Realm
from shared.database import Database
from support.engine import Dispatcher, running_engine, until
from support.old_events import OldEvent, put_event
from webhook_dispatcher.retention import repository
from webhook_dispatcher.retention.policy import Policy
from webhook_dispatcher.retention.service import Retention, RetentionSettings

NOW = datetime.now(UTC)


class _Redactor:
    """Redaction after five days over a dispatcher with one webhook."""

    def __init__(self, dispatcher: Dispatcher, database: Database, webhook_id: str) -> None:
        self.dispatcher = dispatcher
        self.webhook_id = webhook_id
        self.realm = Realm(tenant_id=typeids.decode("ten", dispatcher.tenant_id), environment="live")
        settings = RetentionSettings(history_days=90, rejected_event_days=30, first_match_days=730)
        self.database = database
        self.retention = Retention(database, settings, CollectorRegistry())

    async def put(self, days: float, **fields: Any) -> OldEvent:
        webhook_id = typeids.decode("wh", self.webhook_id)
        at = NOW - timedelta(days=days)
        return await put_event(
            self.dispatcher.database, **{"realm": self.realm, "webhook_id": webhook_id, "at": at, **fields}
        )

    async def run(self) -> int:
        return (await self.retention.run(now=NOW)).events_redacted

    async def set_days(self, days: int | None) -> None:
        policy = Policy(realm=self.realm, retention_days=None, redact_after_days=days)
        async with self.database.transaction() as session:
            await repository.put_policy(session, policy)

    async def shown(self, old: OldEvent) -> dict[str, Any]:
        return await self.dispatcher.call("GET", f"/v1/events/{old.event_id}")


@pytest.fixture
async def redactor(dispatcher: Dispatcher) -> AsyncIterator[_Redactor]:
    """Return redaction after five days."""
    hook = await dispatcher.new_hook()
    database = Database.open(dispatcher.settings.database_url, application_name="retention", plan_once=True)
    made = _Redactor(dispatcher, database, hook.webhook_id)
    await made.set_days(5)
    yield made
    await database.aclose()


async def test_old_payloads_and_bodies_give_way_to_a_marker(redactor: _Redactor) -> None:
    """Data, request and response bodies are gone from what is shown and from the tables; what identifies the event stays."""
    old, young = await redactor.put(6), await redactor.put(4)
    before = await redactor.shown(old)
    assert (await redactor.run(), await redactor.run()) == (1, 0)
    after = await redactor.shown(old)
    assert after["data"] == {"redacted": True}
    assert after["redacted_at"].endswith("Z")
    assert {**after, "data": 0, "body": 0, "redacted_at": 0} == {**before, "data": 0, "body": 0, "redacted_at": 0}
    delivery = await redactor.dispatcher.call("GET", f"/v1/deliveries/{typeids.encode('dlv', _ended(old))}")
    (attempt,) = delivery["attempt_log"]
    assert (attempt["request"]["body"], attempt["response"]["body"]) == (after["body"], "")
    assert attempt["response"]["status"] == 500
    statement = (
        "SELECT (SELECT count(*) FROM events WHERE position('canary' IN payload) > 0)"
        " + (SELECT count(*) FROM attempts WHERE delivery_id = $1 AND COALESCE(request_body, response_body) IS NOT NULL)"
    )
    assert await redactor.dispatcher.database.fetchval(statement, old.ended) == 1
    assert (await redactor.shown(young))["redacted_at"] is None


async def test_a_redacted_event_is_not_sent_again(redactor: _Redactor) -> None:
    """409 that says why, also for a recovery, which passes it over and says so."""
    old, young = await redactor.put(6), await redactor.put(4)
    await redactor.run()
    path = f"/v1/deliveries/{typeids.encode('dlv', _ended(old))}"
    refused = await redactor.dispatcher.call("POST", f"{path}/resend", status=409)
    assert refused["code"] == "payload_redacted"
    assert (await redactor.dispatcher.call("GET", path))["status"] == "failed"
    recover = f"/v1/webhooks/{redactor.webhook_id}/recover"
    body = {"from": (NOW - timedelta(days=8)).isoformat()}
    preview = await redactor.dispatcher.call("POST", recover, {**body, "dry_run": True})
    assert (preview["matched"], preview["skipped"]) == (1, 1)
    started = await redactor.dispatcher.call("POST", recover, body, status=202)
    [hook] = redactor.dispatcher.receiver.hooks.values()
    async with running_engine(redactor.dispatcher.settings):
        received = await hook.until_received(1)
    assert [item.webhook_id for item in received] == [young.event_id]
    shown = await redactor.dispatcher.call("GET", f"/v1/recoveries/{started['id']}")
    assert (shown["status"], shown["resent"], shown["skipped"]) == ("completed", 1, 1)


async def test_what_is_owed_is_sent_as_it_was_and_redacted_afterwards(redactor: _Redactor) -> None:
    """A held delivery keeps its payload past the time; once it has ended, the next run redacts it."""
    owed = await redactor.put(6, with_="outstanding")
    assert await redactor.run() == 0
    [hook] = redactor.dispatcher.receiver.hooks.values()
    async with running_engine(redactor.dispatcher.settings):
        (received,) = await hook.until_received(1)
        await redactor.dispatcher.until_settled(events=1)
    assert b'"data":{"canary":"data"}' in received.body
    assert await redactor.run() == 1
    assert (await redactor.shown(owed))["data"] == {"redacted": True}
    assert await redactor.dispatcher.database.fetchval("SELECT count(*) FROM postponed_redactions") == 0


@pytest.mark.parametrize("first", ["resend", "redaction"])
async def test_resend_and_redaction_at_once_are_one_after_the_other(redactor: _Redactor, first: str) -> None:
    """Whichever comes first: either what is sent again is whole, or it is refused; never a marker under a signature."""
    old = await redactor.put(6)
    path = f"/v1/deliveries/{typeids.encode('dlv', _ended(old))}/resend"
    async with redactor.dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        if first == "resend":
            # As the API: the event's lock is shared, then the delivery moves.
            await connection.execute("SELECT 1 FROM events WHERE id = $1 FOR SHARE", old.id)
            await connection.execute(
                "WITH ended AS (DELETE FROM delivery_history WHERE id = $1"
                " RETURNING id, webhook_id, event, tenant_id, environment)"
                " INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment) SELECT * FROM ended",
                old.ended,
            )
            running = asyncio.create_task(redactor.run())
            await until(lambda: _someone_waits(redactor.dispatcher), what="redaction waits")
            await transaction.commit()
            assert await running == 0
            assert (await redactor.shown(old))["redacted_at"] is None
            return
        await connection.execute("SELECT 1 FROM attempts WHERE delivery_id = $1 FOR UPDATE", old.ended)
        running = asyncio.create_task(redactor.run())
        await until(lambda: _someone_waits(redactor.dispatcher), what="redaction waits")
        resending = asyncio.create_task(redactor.dispatcher.call("POST", path, status=409))
        await until(lambda: _two_wait(redactor.dispatcher), what="the resend waits for the redaction")
        await transaction.commit()
    assert (await resending)["code"] == "payload_redacted"
    assert await running == 1


async def test_redaction_can_be_switched_on_later_and_off(redactor: _Redactor) -> None:
    """From then on for all that is old enough; without days nothing more is redacted."""
    await redactor.set_days(None)
    old = await redactor.put(30)
    assert await redactor.run() == 0
    await redactor.set_days(0)
    recent = await redactor.put(1)
    just_now = await redactor.put(0.01)
    assert await redactor.run() == 2
    assert [(await redactor.shown(item))["redacted_at"] is not None for item in (old, recent, just_now)] == [
        *(True, True),
        False,
    ]


def _ended(old: OldEvent) -> Any:
    return old.ended


async def _someone_waits(dispatcher: Dispatcher) -> bool:
    return bool(await dispatcher.database.fetchval("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"))


async def _two_wait(dispatcher: Dispatcher) -> bool:
    statement = "SELECT count(DISTINCT pid) >= 2 FROM pg_locks WHERE NOT granted"
    return bool(await dispatcher.database.fetchval(statement))
