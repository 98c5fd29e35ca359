"""A worker's picture of its webhooks: pace, requests in flight, lanes, and ids of stream entries."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from support.targets import target
from webhook_dispatcher.intake.entries import default_event_id
from webhook_dispatcher.lanes.destinations import Destinations, TokenBucket
from webhook_dispatcher.lanes.lane import LANE_COUNT, lane_of
from webhook_dispatcher.lanes.room import Holding, Room


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_in_flight_are_limited_per_webhook() -> None:
    """What has started is subtracted until it has ended; other webhooks are not touched."""
    destinations, one, other = Destinations(clock=Clock()), typeids.new_id(), typeids.new_id()
    destinations.set_target(target(one, max_in_flight=3))
    assert destinations.free(one) == 3
    destinations.started(one, [1] * 2)
    assert (destinations.free(one), destinations.busy()) == (1, [one])
    destinations.started(one, [1] * 1)
    assert destinations.free(one) == 0
    destinations.ended(one, 1)
    assert destinations.free(one) == 1
    assert destinations.free(other) == destinations.first_limit


def test_a_lower_limit_counts_at_once_and_never_below_zero() -> None:
    """A webhook changed while requests are in flight."""
    destinations, one = Destinations(clock=Clock()), typeids.new_id()
    destinations.set_target(target(one, max_in_flight=10))
    destinations.started(one, [1] * 8)
    destinations.set_target(target(one, max_in_flight=2))
    assert destinations.free(one) == 0


def test_the_rate_is_a_burst_of_one_second_and_then_a_pace() -> None:
    """10 a second: ten at once, then one each tenth of a second."""
    clock, one = Clock(), typeids.new_id()
    destinations = Destinations(clock=clock)
    destinations.set_target(target(one, max_in_flight=100, rate_per_second=10))
    assert destinations.free(one) == 10
    destinations.started(one, [1] * 10)
    assert destinations.free(one) == 0
    assert destinations.pace_seconds(one) == pytest.approx(0.1)
    clock.now += 0.25
    assert destinations.free(one) == 2
    clock.now += 3600
    assert destinations.free(one) == 10
    assert destinations.pace_seconds(one) is None


def test_a_new_configuration_with_the_same_rate_keeps_the_pace() -> None:
    """Changing a name is no second burst; another rate, or none, is."""
    clock, one = Clock(), typeids.new_id()
    destinations = Destinations(clock=clock)
    destinations.set_target(target(one, max_in_flight=100, rate_per_second=10))
    destinations.started(one, [1] * 10)
    destinations.set_target(target(one, max_in_flight=100, rate_per_second=10))
    assert destinations.free(one) == 0
    destinations.set_target(target(one, max_in_flight=100, rate_per_second=20))
    assert destinations.free(one) == 20 - 10  # ten are in flight, and may have started within this second
    destinations.set_target(target(one, max_in_flight=100))
    assert destinations.free(one) == 90
    assert destinations.pace_seconds(one) is None


def test_an_enabled_webhook_is_sent_to_one_at_a_time_and_then_twice_as_many_each_hundred() -> None:
    """The ramp is 1, 2, 4 … and ends at the webhook's own limit, for good."""
    destinations, one = Destinations(clock=Clock()), typeids.new_id()
    destinations.started(one, [1])
    enabled = target(one, max_in_flight=10, enabled_at=datetime.now(UTC))
    destinations.set_target(enabled)
    assert destinations.free(one) == 0
    destinations.ended(one, 1)
    allowed: list[int] = []
    for _ in range(399):
        allowed.append(destinations.free(one))
        destinations.started(one, [1])
        destinations.ended(one, 1)
    assert allowed == [1] * 99 + [2] * 100 + [4] * 100 + [8] * 100
    assert destinations.free(one) == 10
    destinations.set_target(enabled)
    assert destinations.free(one) == 10


def test_the_ramp_ends_when_nothing_is_left_and_begins_with_the_next_enabling() -> None:
    """A claim that found less than it asked for has seen the end of what was held."""
    destinations, one, now = Destinations(clock=Clock()), typeids.new_id(), datetime.now(UTC)
    destinations.set_target(target(one, enabled_at=now))
    assert destinations.free(one) == 1
    destinations.ran_dry(one)
    destinations.set_target(target(one, enabled_at=now))
    assert destinations.free(one) == 5
    destinations.set_target(target(one, enabled_at=now + timedelta(seconds=1)))
    assert destinations.free(one) == 1


def test_a_webhook_enabled_long_ago_has_no_ramp() -> None:
    """A worker that starts does not slow down every webhook that was ever disabled."""
    destinations, one = Destinations(clock=Clock()), typeids.new_id()
    destinations.set_target(target(one, enabled_at=datetime.now(UTC) - timedelta(hours=2)))
    assert destinations.free(one) == 5


def test_the_size_foreseen_is_a_webhooks_own_and_fades() -> None:
    """The largest counts at once; smaller ones let it fade, and other webhooks are not touched."""
    destinations, one, other = Destinations(clock=Clock()), typeids.new_id(), typeids.new_id()
    destinations.claimed(one, [10, 1000])
    assert (destinations.get(one).size_bytes, destinations.get(other).size_bytes) == (1000, 1)
    destinations.claimed(one, [10])
    assert destinations.get(one).size_bytes == 900
    for _ in range(100):
        destinations.claimed(one, [10])
    assert destinations.get(one).size_bytes == 10


@given(
    hanging=st.lists(st.integers(1, 1 << 20), min_size=1, max_size=5),
    asked=st.integers(1, 200),
    small=st.integers(1, 1000),
)
def test_hanging_webhooks_always_leave_room(hanging: list[int], asked: int, small: int) -> None:
    """Whatever they ask for, in claim after claim, the next one with small payloads finds a slot and its bytes."""
    room = Room(slots=500, payload_bytes=64 << 20)
    for size in hanging:
        held = Holding()
        while count := min(asked, room.fits(held, size_bytes=size)):
            room.take(slots=count, payload_bytes=count * size)
            held.take(slots=count, payload_bytes=count * size)
        assert held.payload_bytes <= room.payload_bytes
        assert held.slots <= room.slots + 1  # of the last slot there is no half
    assert room.fits(Holding(), size_bytes=small) >= 1


def test_larger_payloads_than_foreseen_are_counted_by_their_real_size() -> None:
    """From the first on, as long as no more is taken than is left."""
    room = Room(slots=10, payload_bytes=100)
    assert room.count_fitting(Holding(), sizes_bytes=[20, 20, 20]) == 2
    assert room.count_fitting(Holding(slots=1, payload_bytes=60), sizes_bytes=[20, 20, 20]) == 1
    assert room.count_fitting(Holding(), sizes_bytes=[60, 1]) == 0


def test_what_has_nothing_going_on_is_forgotten() -> None:
    """The picture stays bounded; a webhook with a request in flight is never forgotten."""
    destinations = Destinations(clock=Clock(), idle_max=10)
    busy = typeids.new_id()
    destinations.started(busy, [1] * 1)
    for _ in range(100):
        destinations.get(typeids.new_id())
    assert destinations.busy() == [busy]
    assert len(destinations._known) <= 11


@given(
    rate=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10_000)), max_size=30),
)
def test_never_more_starts_than_the_rate_allows(rate: int, steps: list[tuple[float, int]]) -> None:
    """Over any span: at most one second's burst and the rate times the span; and what it says is available is."""
    now, started = 0.0, 0
    bucket = TokenBucket(rate=rate, tokens=rate, refilled_at=now)
    for wait, wanted in steps:
        now += wait
        available = bucket.available(now)
        assert 0 <= available <= rate
        taken = min(wanted, available)
        bucket.take(taken)
        started += taken
        assert started <= rate * (1 + now) + 1e-6
        pause = bucket.wait_seconds()
        assert bucket.available(now + pause + 1e-6) >= 1


@given(st.uuids())
def test_a_webhook_has_one_lane_for_ever(webhook_id: UUID) -> None:
    """It is made of the id alone."""
    assert lane_of(webhook_id) == lane_of(UUID(webhook_id.hex))
    assert 0 <= lane_of(webhook_id) < LANE_COUNT == 64


def test_webhooks_spread_over_all_lanes() -> None:
    """Evenly enough, also for ids made in one moment."""
    counts = Counter(lane_of(typeids.new_id()) for _ in range(64_000))
    assert len(counts) == LANE_COUNT
    assert max(counts.values()) < 1.3 * 1000


def test_lanes_are_stored_and_so_must_never_move() -> None:
    """Known answers: a changed hash would strand deliveries of registered webhooks."""
    assert [lane_of(UUID(int=number)) for number in (0, 1, 2**127)] == [21, 3, 33]


@given(milliseconds=st.integers(0, 2**48 - 1), sequence=st.integers(0, 2**64 - 1))
def test_an_event_without_id_has_the_same_id_each_time_its_entry_is_read(milliseconds: int, sequence: int) -> None:
    """A valid TypeID over a UUIDv7 of the entry's time, different for another entry and another stream."""
    entry_id = f"{milliseconds}-{sequence}".encode()
    event_id = default_event_id("causeway:events", entry_id)
    assert event_id == default_event_id("causeway:events", entry_id)
    uuid = typeids.decode("evt", event_id)
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == milliseconds
    assert event_id != default_event_id("other:events", entry_id)
    assert event_id != default_event_id("causeway:events", f"{milliseconds}-{sequence + 1}".encode())


def test_the_id_of_an_entry_is_known_for_ever() -> None:
    """A known answer: another one would make an entry that was read before an upgrade a second event after it."""
    event_id = default_event_id("causeway:events", b"1782907200000-0")
    assert typeids.created_at(typeids.decode("evt", event_id)) == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert event_id == "evt_01kwersrg0e1z8xzpz7seqfq9s"
