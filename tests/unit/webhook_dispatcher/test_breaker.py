"""When a webhook's deliveries are held for its failures: the whole decision, as a table and under any course of events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_dispatcher.lanes.breaker import HEALTHY, LASTING, Breaker, BreakerPolicy, Result, after, should_disable

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(minutes=1)
POLICY = BreakerPolicy()
STARTED = Breaker(failures=1, failing_since=NOW)
FAILING = Breaker(failures=4, failing_since=BEFORE)
LAST = Breaker(failures=9, failing_since=BEFORE)
OPENED = Breaker(failures=10, failing_since=BEFORE, opened_at=NOW, probe_seconds=30)
OPEN = Breaker(failures=12, failing_since=BEFORE, opened_at=BEFORE, probe_seconds=120)
LONG = replace(OPEN, probe_seconds=600)
CLOSED = Breaker(probe_seconds=120, recovered_at=NOW)
FLAPPING = replace(LAST, probe_seconds=120, recovered_at=BEFORE)
RECOVERED = replace(LAST, probe_seconds=120, recovered_at=NOW - timedelta(minutes=11))

# (state, result, probe, counts) → state after; what is not listed leaves the state as it is.
_TABLE: dict[tuple[Breaker, Result, bool, bool], Breaker] = {
    (HEALTHY, "failed", False, True): STARTED,
    (FAILING, "failed", False, True): replace(FAILING, failures=5),
    (LAST, "failed", False, True): OPENED,
    (FLAPPING, "failed", False, True): replace(OPENED, probe_seconds=240, recovered_at=BEFORE),
    (RECOVERED, "failed", False, True): replace(OPENED, recovered_at=RECOVERED.recovered_at),
    (FAILING, "delivered", False, True): HEALTHY,
    (LAST, "delivered", False, True): HEALTHY,
    (FLAPPING, "delivered", False, True): Breaker(probe_seconds=120, recovered_at=BEFORE),
    (RECOVERED, "delivered", False, True): Breaker(probe_seconds=120, recovered_at=RECOVERED.recovered_at),
    **{(OPEN, "failed", True, counts): replace(OPEN, failures=13, probe_seconds=240) for counts in (True, False)},
    **{(LONG, "failed", True, counts): replace(LONG, failures=13) for counts in (True, False)},
    **{(OPEN, "delivered", True, counts): CLOSED for counts in (True, False)},
    **{(LONG, "delivered", True, counts): replace(CLOSED, probe_seconds=600) for counts in (True, False)},
}
_RESULTS: tuple[Result, ...] = ("delivered", "failed", "own_fault")
_CLOSED_STATES = (HEALTHY, FAILING, LAST, FLAPPING, RECOVERED)
_CASES = [
    *product(_CLOSED_STATES, _RESULTS, (False,), (True, False)),
    *product((OPEN, LONG), _RESULTS, (True, False), (True, False)),
]


@pytest.mark.parametrize(("state", "result", "probe", "counts"), _CASES)
def test_every_state_and_outcome(state: Breaker, result: Result, *, probe: bool, counts: bool) -> None:
    """Each state under each outcome, of a probe or not, of an ordinary event or one about webhooks."""
    expected = _TABLE.get((state, result, probe, counts), state)
    assert after(result, state, now=NOW, policy=POLICY, probe=probe, counts=counts) == expected


def test_every_line_of_the_table_is_a_case() -> None:
    """No line stands there for nothing."""
    assert set(_TABLE) <= set(_CASES)


@pytest.mark.parametrize(
    ("state", "days", "disabled"),
    [
        (OPEN, 4.99, False),
        (OPEN, 5, True),
        (OPEN, 50, True),
        (FAILING, 50, False),
        (HEALTHY, 50, False),
    ],
)
def test_days_of_failing_disable_what_is_open(state: Breaker, days: float, *, disabled: bool) -> None:
    """Five days after the first failure of the run, and never a webhook that has failed a few times alone."""
    now = BEFORE + timedelta(days=days)
    assert should_disable(state, now=now, policy=POLICY) is disabled
    assert not should_disable(state, now=now, policy=BreakerPolicy(disable_after=None))


def test_a_run_is_written_down_once_it_lasts() -> None:
    """A failure now and then costs no writes; an open breaker is always one to be kept."""
    assert not HEALTHY.is_lasting(NOW)
    assert not STARTED.is_lasting(NOW + LASTING - timedelta(seconds=1))
    assert STARTED.is_lasting(NOW + LASTING)
    assert OPENED.is_lasting(NOW)


def test_probes_wait_30_seconds_and_twice_as_long_each_time_up_to_10_minutes() -> None:
    """The waits of a destination that stays away."""
    state, waits = OPENED, [OPENED.probe_seconds]
    for _ in range(6):
        state = after("failed", state, now=NOW, policy=POLICY, probe=True)
        waits.append(state.probe_seconds)
    assert waits == [30, 60, 120, 240, 480, 600, 600]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(_RESULTS), st.booleans(), st.booleans(), st.integers(0, 1200)), max_size=80
    ),
    to_open=st.integers(1, 12),
)
def test_whatever_happens(steps: list[tuple[Result, bool, bool, int]], to_open: int) -> None:
    """It opens after exactly so many counted failures in a row, closes by a probe's success alone, and its waits are bounded."""
    policy, state, now, in_a_row = BreakerPolicy(failures_to_open=to_open), HEALTHY, NOW, 0
    for result, probe, counts, seconds in steps:
        now += timedelta(seconds=seconds)
        before = state
        state = after(result, state, now=now, policy=policy, probe=probe and before.is_open, counts=counts)
        if before.is_open:
            assert state.is_open != (probe and result == "delivered")
            in_a_row = 0
        elif counts and result != "own_fault":
            in_a_row = in_a_row + 1 if result == "failed" else 0
            assert state.is_open == (in_a_row == to_open)
        else:
            assert state == before
        assert not state.is_open or policy.probe_seconds <= state.probe_seconds <= policy.probe_seconds_max
        assert (state.failing_since is None) == (state.failures == 0)
