"""The database's time between two looks."""

from datetime import UTC, datetime, timedelta

from webhook_dispatcher.lanes.database_clock import DatabaseClock


def test_it_goes_on_by_the_monotonic_clock_and_is_set_anew_by_each_look() -> None:
    """Whatever this machine's own clock says."""
    now = 100.0
    clock = DatabaseClock(monotonic=lambda: now)
    first = datetime(2001, 2, 3, tzinfo=UTC)
    clock.set(first)
    now = 101.5
    assert clock.now() == first + timedelta(seconds=1.5)
    clock.set(first + timedelta(seconds=10))
    assert clock.now() == first + timedelta(seconds=10)


def test_before_the_first_look_it_is_this_machines_time() -> None:
    """There is always a time."""
    assert abs(DatabaseClock().now() - datetime.now(UTC)) < timedelta(seconds=60)
