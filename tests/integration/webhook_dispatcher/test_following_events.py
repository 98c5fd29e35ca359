"""Following all events by cursor: whatever is committed, and however late, appears after the cursor and once."""

import asyncio
from typing import Any

import asyncpg

from support.dispatcher_service import DispatcherService, Tenant, payment
from support.engine import plain, until


async def _read_on(tenant: Tenant, cursor: str | None) -> tuple[list[str], str | None]:
    """Read to the end; returns the ids and the new cursor."""
    seen: list[str] = []
    while True:
        answer = await tenant.owner.get("/v1/events", params={"after": cursor or "", "limit": 2})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        if not page["data"]:
            return seen, page["next_cursor"]
        seen += [event["id"] for event in page["data"]]
        cursor = page["next_cursor"]


async def test_an_event_that_is_committed_late_is_not_skipped(service: DispatcherService, tenant: Tenant) -> None:
    """A is parsed and written first, but its commit waits; B is published after it, and the reader reads to the end meanwhile."""
    held = await asyncpg.connect(plain(service.app.state.settings.database_url))
    try:
        # A's statement writes its row, and then waits for a lock that the test holds.
        await held.execute(
            "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$"
        )
        await held.execute(
            "CREATE TRIGGER wait_for_test AFTER INSERT ON events FOR EACH ROW WHEN (NEW.event_id = 'pay-A')"
            " EXECUTE FUNCTION wait_for_test()"
        )
        await held.execute("SELECT pg_advisory_lock(77)")
        late = asyncio.create_task(tenant.publish(payment("A")))
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted"
        await until(lambda: held.fetchval(waits), what="A waits for its commit")
        await tenant.publish(payment("B"))
        first, cursor = await _read_on(tenant, None)
        assert "pay-A" not in first
        await held.execute("SELECT pg_advisory_unlock(77)")
        await late
        seen = list(first)

        async def has_both() -> bool:
            nonlocal cursor
            more, cursor = await _read_on(tenant, cursor)
            seen.extend(more)
            return {"pay-A", "pay-B"} <= set(seen)

        await until(has_both, what="both events were read", seconds=5)
        assert sorted(seen) == ["pay-A", "pay-B"]
    finally:
        await held.close()


async def test_a_stream_of_events_from_many_publishers_is_read_whole_and_once(tenant: Tenant) -> None:
    """A reader that follows while twenty publish at once gets every event exactly once."""
    seen: list[str] = []
    cursor: str | None = None

    async def publish(publisher: int) -> None:
        for number in range(10):
            await tenant.publish(payment(f"{publisher}-{number}"))

    async def follow() -> bool:
        nonlocal cursor
        more, cursor = await _read_on(tenant, cursor)
        seen.extend(more)
        return len(seen) >= 200

    async with asyncio.TaskGroup() as group:
        for publisher in range(20):
            group.create_task(publish(publisher))
        group.create_task(until(follow, what="all events were read", seconds=30))
    assert len(seen) == len(set(seen)) == 200
