"""No list, search or statistic reads more for there being more: a page looks at a window, whatever fits and whatever waits."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from shared.database import Database
from support.dispatcher_service import DispatcherService, Tenant
from webhook_dispatcher.deliveries import search_repository as deliveries
from webhook_dispatcher.events import search_repository as events
from webhook_dispatcher.events.settled import BEGINNING
from webhook_dispatcher.recoveries import repository as recoveries
from webhook_dispatcher.recoveries import step_repository
from webhook_dispatcher.recoveries.repository import Selection
from webhook_dispatcher.retention import purge_repository, redaction_repository
from webhook_dispatcher.statistics import repository as statistics

_EACH = 40_000
"""Events and ended deliveries, and as many outstanding ones of another webhook."""
_READ_MAX = 26_000
"""A window of 5 000 of each half, with their events and attempts."""
_FILL = f"""
    WITH made AS (
        INSERT INTO events (id, tenant_id, environment, event_id, type, subject, occurred_at, payload, matched)
        SELECT uuidv7(), :tenant, 'live', 'e' || n, 'payment.succeeded', 's' || n % 1000, now(), '{{"id":"x","data":{{}}}}', 1
        FROM generate_series(1, {_EACH}) n RETURNING id, substr(event_id, 2)::int AS n
    ), ended AS (
        INSERT INTO delivery_history (id, webhook_id, event, tenant_id, environment, status, attempts)
        SELECT id, :webhook, id, :tenant, 'live', CASE WHEN n % 20000 = 7 THEN 'failed' ELSE 'delivered' END, 1 FROM made
    ), noted AS (
        INSERT INTO attempts (delivery_id, number, id, started_at, duration_ms, outcome, url, response_body)
        SELECT id, 1, id, now(), 5, 'delivered', 'x', 'ok' FROM made
    )
    INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, failures)
    SELECT (left(id::text, 24) || left(md5(n::text), 12))::uuid, :dead, id, :tenant, 'live', n % 2 FROM made
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class _Much:
    """A realm with a lot of everything."""

    tenant: Tenant
    database: Database
    realm: Realm
    webhook: UUID
    dead: UUID

    async def read(self, ask: Callable[[AsyncSession], Awaitable[Any]]) -> tuple[Any, int]:
        """Return an answer, and how many entries of indexes and rows of scans it took."""
        before = await self._tuples_read()
        async with self.database.transaction() as session:
            answer = await ask(session)
        return answer, await self._tuples_read() - before

    async def _tuples_read(self) -> int:
        async with self.database.autocommit() as connection:
            await connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
            statement = """
                SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)
            """
            return int((await connection.exec_driver_sql(statement)).scalar_one())


@pytest.fixture(scope="module")
async def much(service: DispatcherService) -> AsyncIterator[_Much]:
    """Fill a realm, as hours of traffic do."""
    tenant = await service.new_tenant()
    made = [typeids.decode("wh", (await tenant.new_webhook())["id"]) for _ in range(2)]
    realm = Realm(tenant_id=typeids.decode("ten", tenant.id), environment="live")
    await service.rows(_FILL, tenant=realm.tenant_id, webhook=made[0], dead=made[1])
    # A pool of one: what a connection has read is counted when it is told to.
    database = Database.open(
        service.resources.database.engine.url.render_as_string(hide_password=False), application_name="x", pool_size=1
    )
    async with database.autocommit() as connection:
        await connection.exec_driver_sql("ANALYZE")
    yield _Much(tenant=tenant, database=database, realm=realm, webhook=made[0], dead=made[1])
    await database.aclose()


_YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 51),
        ({"webhook": True}, 51),
        ({"from": _YESTERDAY}, 51),
        ({"to": _YESTERDAY}, 0),
        ({"status": "delivered"}, 51),
        ({"status": "failed"}, 2),
        ({"status": "failed", "webhook": True}, 2),
        ({"status": "cancelled"}, 0),
        ({"status": "pending"}, 51),
        ({"status": "held"}, 0),
        ({"event_type": "payment.succeeded"}, 51),
        ({"event_type": "kyc.rejected"}, 0),
        ({"subject": "s7"}, 51),
        ({"subject": "nobody"}, 0),
        ({"q": "nothing has this"}, 0),
        ({"q": "nothing has this", "webhook": True}, 0),
        ({"q": "OK", "webhook": True}, 51),
    ],
)
async def test_a_page_of_deliveries_reads_a_window(much: _Much, filters: dict[str, Any], count: int) -> None:
    """With any filter, however little it fits."""
    wanted = {name: value for name, value in filters.items() if name != "webhook"}
    if "webhook" in filters:
        wanted["webhook_id"] = much.webhook
    found, read = await much.read(
        lambda session: deliveries.find_page(session, realm=much.realm, filters=wanted, before=None, limit=51)
    )
    assert len(found.deliveries) == count
    assert read < _READ_MAX


@pytest.mark.parametrize(
    "filters", [{}, {"type": "kyc.rejected"}, {"q": "nothing has this"}, {"subject": "s7"}, {"from": _YESTERDAY}]
)
async def test_a_page_of_events_reads_a_window(much: _Much, filters: dict[str, Any]) -> None:
    """Newest first, and in the order in which they became settled."""
    _, read = await much.read(
        lambda session: events.find_page(session, realm=much.realm, filters=filters, before=None, limit=51)
    )
    assert read < _READ_MAX
    _, read = await much.read(
        lambda session: events.find_settled(session, realm=much.realm, filters=filters, after=BEGINNING, limit=51)
    )
    assert read < _READ_MAX


async def test_what_a_page_did_not_find_the_next_ones_do(much: _Much) -> None:
    """Going on from where each page ended, a search comes to everything once, with as many looks as there are windows."""
    for path, found in (("/v1/deliveries", 2), ("/v1/events", 1)):
        seen: list[str] = []
        query: dict[str, Any] = {"q": "E20007"}
        for _ in range(40):
            page = (await much.tenant.owner.get(path, params=query)).json()
            seen += [item["id"] for item in page["data"]]
            query["cursor"] = page["next_cursor"]
            if query["cursor"] is None:
                break
        assert len(seen) == len(set(seen)) == found
        assert query["cursor"] is None


async def test_a_reader_that_follows_comes_past_what_does_not_fit(much: _Much) -> None:
    """A page without a fitting event moves the cursor on all the same."""
    query: dict[str, Any] = {"q": "E20007", "after": ""}
    seen: list[str] = []
    for _ in range(40):
        page = (await much.tenant.owner.get("/v1/events", params=query)).json()
        seen += [item["id"] for item in page["data"]]
        if page["next_cursor"] == query["after"]:
            break
        query["after"] = page["next_cursor"]
    assert seen == ["e20007"]


async def test_statistics_read_the_newest_and_a_part_of_what_waits(much: _Much) -> None:
    """Of a webhook with much history, and of one for which much waits."""
    ended, read = await much.read(
        lambda session: statistics.count_ended(session, webhook_id=much.webhook, since=_YESTERDAY)
    )
    assert (ended.looked_at, ended.attempts) == (statistics.ENDED_MAX, statistics.ENDED_MAX)
    assert read <= 3 * statistics.ENDED_MAX
    state, read = await much.read(
        lambda session: statistics.find_state(session, realm=much.realm, webhook_id=much.dead)
    )
    assert state.pending == statistics.OUTSTANDING_MAX
    assert read < statistics.OUTSTANDING_MAX + 100
    _, read = await much.read(lambda session: statistics.count_ended(session, webhook_id=much.dead, since=_YESTERDAY))
    assert read < 5_000


async def test_a_step_of_a_recovery_reads_a_window(much: _Much) -> None:
    """Whatever it passes over."""
    selection = Selection(
        webhook_id=much.webhook,
        since=_YESTERDAY,
        until=datetime.now(UTC) + timedelta(days=1),
        statuses=["delivered"],
        event_types=["kyc.*"],
    )

    async def step(session: AsyncSession) -> Any:
        matches = await recoveries.count_matches(session, selection=selection, scan_max=1)
        recovery = await recoveries.insert(
            session,
            recovery_id=typeids.new_id(),
            realm=much.realm,
            selection=selection,
            matches=matches,
            created_by="test",
        )
        return await step_repository.take_back(session, recovery, batch=100, scan_max=5_000)

    taken, read = await much.read(step)
    assert (taken.resent, taken.position is None) == (0, False)
    assert read < _READ_MAX


async def test_retention_of_one_realm_reads_a_window(much: _Much) -> None:
    """A batch of another realm's events passes nobody else's, and its own at most once."""
    other = Realm(tenant_id=typeids.new_id(), environment="live")
    for realm, most in ((other, 100), (much.realm, 5_000)):
        _, read = await much.read(
            lambda session, realm=realm: purge_repository.purge(  # type: ignore[misc]  # bound now
                session, realm=realm, before=_YESTERDAY, after=UUID(int=0), limit=500
            )
        )
        assert read < most
    now = datetime.now(UTC) + timedelta(days=1)
    purged, read = await much.read(
        lambda session: purge_repository.purge(session, realm=much.realm, before=now, after=UUID(int=0), limit=500)
    )
    assert (purged.events, purged.position is None) == (0, False)
    assert read < 5_000
    due, read = await much.read(
        lambda session: redaction_repository.lock_next(session, much.realm, before=now, limit=500)
    )
    assert (len(due), read < 100) == (0, True)


async def test_a_recovery_of_the_few_that_failed_does_not_read_the_many_that_did_not(much: _Much) -> None:
    """They have an index of their own."""
    selection = Selection(
        webhook_id=much.webhook, since=_YESTERDAY, until=datetime.now(UTC), statuses=["failed"], event_types=None
    )
    matches, read = await much.read(
        lambda session: recoveries.count_matches(session, selection=selection, scan_max=100_000)
    )
    assert matches.sendable == 2
    assert read < 100
