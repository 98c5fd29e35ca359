"""What the pump claims next: shares of retries and first attempts, and that nothing due is ever left lying."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from support.targets import target
from webhook_dispatcher.lanes.breaker import Breaker
from webhook_dispatcher.lanes.destinations import Destinations
from webhook_dispatcher.lanes.repository import Claimed, Limit
from webhook_dispatcher.lanes.selection import CLAIM_MAX, Selection


@dataclass
class Database:
    """What is due of each webhook: first attempts and retries. Claims as the statement does."""

    firsts: Counter[UUID] = field(default_factory=Counter)
    retries: Counter[UUID] = field(default_factory=Counter)

    def claim(self, limits: dict[UUID, Limit]) -> list[Claimed]:
        claimed: list[Claimed] = []
        for webhook_id, limit in limits.items():
            again = min(self.retries[webhook_id], limit.retries)
            fresh = min(self.firsts[webhook_id], limit.count - again)
            self.retries[webhook_id] -= again
            self.firsts[webhook_id] -= fresh
            claimed += [_claimed(webhook_id, failures=1) for _ in range(again)]
            claimed += [_claimed(webhook_id, failures=0) for _ in range(fresh)]
        return claimed

    def is_empty(self) -> bool:
        return not self.firsts.total() and not self.retries.total()


def _claimed(webhook_id: UUID, *, failures: int) -> Claimed:
    return Claimed(
        id=typeids.new_id(),
        webhook_id=webhook_id,
        webhook_revision=1,
        fence=1,
        attempt=1 + failures,
        failures=failures,
        event_id="e",
        event_type="kyc.rejected",
        payload=b"{}",
        test=False,
    )


def _no_pace(_webhook_id: UUID, _seconds: float) -> None:
    raise AssertionError("no webhook has a rate here")


def _selection(destinations: Destinations, *, slots: int) -> Selection:
    return Selection(slots=slots, retry_share=0.5, destinations=destinations, serves=lambda _webhook_id: True)


def _claim_all(selection: Selection, database: Database) -> list[Claimed]:
    """Claim as the pump does: again and again while there may be work."""
    kept: list[Claimed] = []
    for _ in range(10_000):
        limits = selection.choose(_no_pace)
        if not limits:
            return kept
        assert sum(limit.count for limit in limits.values()) <= CLAIM_MAX
        kept += selection.keep(database.claim(limits), limits)
        if not selection.has_work():
            return kept
    raise AssertionError("claims without an end")


@given(
    due=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    slots=st.integers(1, 40),
    data=st.data(),
)
def test_everything_due_is_sent_without_another_hint(
    due: list[tuple[int, int, int]], slots: int, data: st.DataObject
) -> None:
    """One hint at the start: whatever ends in whatever order, all is claimed, within every limit and the retries' share."""
    destinations, database = Destinations(), Database()
    selection = _selection(destinations, slots=slots)
    limits = {}
    for max_in_flight, firsts, retries in due:
        webhook_id = typeids.new_id()
        limits[webhook_id] = max_in_flight
        destinations.set_target(target(webhook_id, max_in_flight=max_in_flight))
        database.firsts[webhook_id], database.retries[webhook_id] = firsts, retries
    selection.hint(limits)
    in_flight: list[Claimed] = []
    while True:
        in_flight += _claim_all(selection, database)
        retries_held = Counter(item.webhook_id for item in in_flight if item.failures)
        assert len(in_flight) <= slots
        assert retries_held.total() <= max(1, slots // 2)
        for webhook_id, held in Counter(item.webhook_id for item in in_flight).items():
            assert held <= limits[webhook_id]
            assert retries_held[webhook_id] <= max(1, limits[webhook_id] // 2)
        if not in_flight:
            break
        selection.ended(in_flight.pop(data.draw(st.integers(0, len(in_flight) - 1))))
    assert database.is_empty(), "something due was left lying until the next look"


@pytest.mark.parametrize("slots", [2, 20, 500])
def test_first_attempts_find_slots_in_any_storm_of_retries(slots: int) -> None:
    """However many webhooks have however many retries due that never end, a new delivery is claimed at once."""
    destinations, database = Destinations(), Database()
    selection = _selection(destinations, slots=slots)
    for _ in range(200):
        webhook_id = typeids.new_id()
        destinations.set_target(target(webhook_id, max_in_flight=20))
        database.retries[webhook_id] = 50
        selection.hint([webhook_id])
    assert len(_claim_all(selection, database)) == slots // 2
    newcomer = typeids.new_id()
    destinations.set_target(target(newcomer, max_in_flight=20))
    database.firsts[newcomer] = 1
    selection.hint([newcomer])
    assert [item.webhook_id for item in _claim_all(selection, database)] == [newcomer]


@pytest.mark.parametrize("busy", [0, 20, 127, 200])
def test_first_attempts_of_a_webhook_go_on_beside_its_retries(busy: int) -> None:
    """However few slots others leave it at a time: a destination that comes back after an outage gets what is new as well."""
    destinations, database = Destinations(), Database()
    selection = _selection(destinations, slots=500)
    webhooks = [typeids.new_id() for _ in range(busy + 1)]
    for webhook_id in webhooks:
        destinations.set_target(target(webhook_id, max_in_flight=20))
        database.firsts[webhook_id] = 1_000
    flaky = webhooks[0]
    database.retries[flaky] = 1_000
    sent: Counter[bool] = Counter()
    for _ in range(100):
        selection.hint(webhooks)
        limits = selection.choose(_no_pace)
        for item in selection.keep(database.claim(limits), limits):
            if item.webhook_id == flaky:
                sent[item.failures > 0] += 1
            selection.ended(item)  # each destination has answered before the next claim
    assert sent.total() >= 50
    assert abs(sent[True] - sent[False]) <= 2


def test_an_open_breaker_lets_one_through_when_its_probe_is_due() -> None:
    """Hints are not heard meanwhile; the probe is one, of whatever is due; and what comes of an older claim goes back."""
    destinations, database, one = Destinations(), Database(), typeids.new_id()
    selection = _selection(destinations, slots=20)
    destinations.set_target(target(one, max_in_flight=20))
    database.firsts[one], database.retries[one] = 10, 10
    selection.hint([one])
    limits = selection.choose(_no_pace)
    destinations.get(one).breaker = Breaker(failures=10, opened_at=destinations.today(), probe_seconds=30)
    assert selection.keep(database.claim(limits), limits) == []
    assert destinations.held.slots == 0
    selection.hint([one])
    assert selection.choose(_no_pace) == {}
    destinations.allow_probe(one, asked_at=destinations.clock())
    selection.hint([one])
    [probe] = _claim_all(selection, database)
    destinations.allow_probe(one, asked_at=destinations.clock())
    selection.hint([one])
    assert not selection.has_work(), "there is one probe at a time"
    selection.ended(probe)
    destinations.allow_probe(one, asked_at=destinations.clock())
    selection.hint([one])
    assert len(_claim_all(selection, database)) == 1


def test_what_the_database_said_before_our_own_change_is_no_leave_to_probe() -> None:
    """An answer to an earlier question, and one that comes while a change is not written, are passed over."""
    destinations, one = Destinations(clock=lambda: 100.0), typeids.new_id()
    destination = destinations.get(one)
    destination.breaker = Breaker(failures=10, opened_at=destinations.today(), probe_seconds=30)
    destination.health_saved_at = 100.0
    destinations.allow_probe(one, asked_at=99.0)
    assert destinations.is_held(one)
    destination.health_unsaved = True
    destinations.allow_probe(one, asked_at=101.0)
    assert destinations.is_held(one)
    destination.health_unsaved = False
    destinations.allow_probe(one, asked_at=101.0)
    assert not destinations.is_held(one)
