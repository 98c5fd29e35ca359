"""Outcomes are written whatever they hold: one that the database refuses holds up no other."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.database import Database
from support.engine import Dispatcher, event
from webhook_dispatcher.lanes import repository
from webhook_dispatcher.lanes.leases import Leases
from webhook_dispatcher.lanes.recorder import Recorder, RecorderMetrics
from webhook_dispatcher.lanes.repository import Claimed, Limit, Record


def _delivered(claimed: Claimed) -> Record:
    return Record(
        claimed=claimed,
        status="delivered",
        failures=0,
        next_attempt_after=None,
        attempt_id=typeids.new_id(),
        started_at=datetime.now(UTC),
        duration_ms=1.0,
        outcome="delivered",
        error_code=None,
        url="http://127.0.0.1/",
        request_headers="[]",
        request_body=None,
        response_status=200,
        response_headers="[]",
        response_body=b"ok",
        response_truncated=False,
    )


async def _nobody_is_gone(urls: Mapping[UUID, str]) -> None:
    raise AssertionError(urls)


@pytest.mark.parametrize("refused", [0, 2])
async def test_an_outcome_that_the_database_refuses_is_written_without_its_details(
    dispatcher: Dispatcher, refused: int
) -> None:
    """The others are written whole, and the delivery of the odd one ends as it did at its destination."""
    database = Database.open(dispatcher.settings.database_url, application_name="records", plan_once=True)
    await dispatcher.new_hook()
    await dispatcher.publish(*(event(number) for number in range(1, 4)))
    leases = Leases(database, name="recorder", lease_seconds=60)
    await leases.renew(busy=())
    webhooks = [row[0] for row in await dispatcher.database.fetch("SELECT id FROM webhooks")]
    limits = dict.fromkeys(webhooks, Limit(count=10, retries=5, revision=1))
    async with database.autocommit() as connection:
        claimed = await repository.claim(connection, worker_id=leases.worker_id, limits=limits)
    records = [_delivered(item) for item in claimed]
    records[refused] = replace(records[refused], response_headers="not json")
    written: list[Record] = []
    recorder = Recorder(
        database, RecorderMetrics(CollectorRegistry()), recorded=written.extend, disable_gone=_nobody_is_gone
    )
    running = asyncio.create_task(recorder.run())
    for record in records:
        recorder.put(record)
    async with asyncio.timeout(20):
        await recorder.drain()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert len(written) == 3
    ledger = await dispatcher.ledger()
    assert (ledger["delivered"], ledger["pending"], ledger["balanced"]) == (3, 0, True)
    bodies = await dispatcher.database.fetch("SELECT response_body FROM attempts")
    assert sorted(row[0] is None for row in bodies) == [False, False, True]
    await database.aclose()
