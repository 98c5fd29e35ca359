"""What a worker tells of its webhooks' health, with few labels however many there are."""

from prometheus_client import CollectorRegistry, generate_latest

from shared.database import Database
from support.engine import Dispatcher, event, running_engine, until
from support.receiver import Answer
from webhook_dispatcher.lanes import health_repository, recovery_repository
from webhook_dispatcher.lanes.health_metrics import NAMED_MAX, HealthMetrics
from webhook_dispatcher.lanes.leases import Leases


async def test_webhooks_by_health_and_the_ten_worst_by_name(dispatcher: Dispatcher) -> None:
    """Of 14 webhooks with something due ten are named, the longest waiting ones; who is worst no more is dropped."""
    database = Database.open(dispatcher.settings.database_url, application_name="metrics", plan_once=True)
    leases = Leases(database, name="metrics", lease_seconds=60)
    await leases.renew(busy=())
    hooks = [await dispatcher.new_hook() for _ in range(14)]
    await dispatcher.publish(event())
    await dispatcher.database.execute(
        """
        WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS number FROM webhooks)
        UPDATE deliveries d SET next_attempt_at = now() - number * interval '1 minute'
        FROM numbered WHERE numbered.id = d.webhook_id
        """
    )
    await dispatcher.database.execute(
        """
        WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS number FROM webhooks)
        UPDATE webhooks w SET status = CASE number WHEN 14 THEN 'disabled' ELSE 'enabled' END,
            failing_since = CASE WHEN number IN (12, 13) THEN now() END,
            breaker_opened_at = CASE number WHEN 13 THEN now() END, probe_at = CASE number WHEN 13 THEN now() END
        FROM numbered WHERE numbered.id = w.id
        """
    )
    metrics = HealthMetrics(registry := CollectorRegistry())
    async with database.autocommit() as connection:
        overview = await health_repository.find_overview(connection, worker_id=leases.worker_id, oldest_max=NAMED_MAX)
        due = await recovery_repository.find_due(connection, worker_id=leases.worker_id)
    metrics.show(overview)
    assert overview.by_health == {"healthy": 11, "failing": 1, "open": 1, "disabled": 1}
    named = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("causeway_oldest")]
    assert len(named) == 10
    assert all(any(hook.webhook_id in line for line in named) for hook in hooks[4:])
    assert 14 * 60 <= max(overview.oldest_pending.values()) < 15 * 60
    # The twelfth waits longest of those that nothing holds.
    assert 12 * 60 <= due.lag_seconds < 13 * 60
    await dispatcher.database.execute("DELETE FROM deliveries")
    async with database.autocommit() as connection:
        metrics.show(await health_repository.find_overview(connection, worker_id=leases.worker_id, oldest_max=10))
    assert "causeway_oldest_pending_seconds{" not in generate_latest(registry).decode()
    assert registry.get_sample_value("causeway_webhooks", {"health": "open"}) == 1
    await database.aclose()


async def test_a_worker_shows_them(dispatcher: Dispatcher) -> None:
    """The changes of a breaker are counted as they are written, and the lanes' lag is there from the first look."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    hook.otherwise = Answer(status=500)
    async with running_engine(dispatcher.settings) as engine:
        registry = engine._resources.registry

        async def is_counted() -> bool:
            return registry.get_sample_value("causeway_webhook_health_changes_total", {"change": "failing"}) == 1

        await dispatcher.publish(*(event(number) for number in range(12)))
        await until(is_counted, what="the opening is counted")
        assert registry.get_sample_value("causeway_lane_lag_seconds") is not None
        assert registry.get_sample_value("causeway_webhooks", {"health": "healthy"}) is not None
