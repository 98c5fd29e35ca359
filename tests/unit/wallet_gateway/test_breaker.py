"""When a wallet is left alone, and when it is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from wallet_gateway.isolation import breaker as breakers
from wallet_gateway.isolation.breaker import CLOSED, FAILURES_MAX, OPEN_SECONDS_MAX, OPEN_SECONDS_MIN, Breaker


def _opened(*, now: float = 0.0) -> Breaker:
    state = CLOSED
    for _ in range(FAILURES_MAX):
        state = breakers.after_failure(state, passage="free", now=now)
    return state


def test_it_opens_after_failures_in_a_row() -> None:
    """One success between them begins the count anew."""
    state = CLOSED
    for _ in range(FAILURES_MAX - 1):
        state = breakers.after_failure(state, passage="free", now=0)
    assert breakers.wait_seconds(state, now=0) == 0
    state = breakers.after_success(state, passage="free")
    assert state == CLOSED
    assert breakers.wait_seconds(_opened(), now=0) == OPEN_SECONDS_MIN


def test_after_its_time_one_probe_at_a_time_is_let_through() -> None:
    """Others wait for what the probe brings; a probe that never reports is given up."""
    state = _opened()
    assert breakers.wait_seconds(state, now=OPEN_SECONDS_MIN) == 0
    state, passage = breakers.let_through(state, now=OPEN_SECONDS_MIN)
    assert passage == "probe"
    assert breakers.wait_seconds(state, now=OPEN_SECONDS_MIN) > 0
    assert breakers.wait_seconds(state, now=OPEN_SECONDS_MIN + breakers.PROBE_SECONDS_MAX) == 0
    assert breakers.after_success(state, passage="probe") == CLOSED
    given_up = breakers.after_nothing(state, passage="probe")
    assert breakers.wait_seconds(given_up, now=OPEN_SECONDS_MIN) == 0


def test_each_failed_probe_opens_it_for_twice_as_long() -> None:
    """Up to a minute."""
    state, now, waits = _opened(), 0.0, []
    for _ in range(8):
        waits.append(breakers.wait_seconds(state, now=now))
        now += waits[-1]
        state, _ = breakers.let_through(state, now=now)
        state = breakers.after_failure(state, passage="probe", now=now)
    assert waits == [5, 10, 20, 40, 60, 60, 60, 60]


def test_calls_that_began_before_it_opened_change_nothing() -> None:
    """Neither their failures, which would prolong it, nor their successes, which are old news."""
    state = _opened()
    assert breakers.after_failure(state, passage="free", now=3) == state
    assert breakers.after_success(state, passage="free") == state


def test_what_goes_past_an_open_breaker_closes_it_and_never_prolongs_it() -> None:
    """The resolver asks on: an answer is news, silence is not."""
    state = _opened()
    assert breakers.after_failure(state, passage="aside", now=3) == state
    assert breakers.after_success(state, passage="aside") == CLOSED


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "nothing"]), st.floats(0, 100)), max_size=60))
def test_it_never_stays_open_longer_than_it_may_and_always_lets_someone_try(steps: list[tuple[str, float]]) -> None:
    """Whatever happens: the wait is bounded, and after it a call is let through."""
    state, now = CLOSED, 0.0
    for outcome, passed in steps:
        now += passed
        wait = breakers.wait_seconds(state, now=now)
        assert 0 <= wait <= OPEN_SECONDS_MAX
        now += wait
        state, passage = breakers.let_through(state, now=now)
        if outcome == "ok":
            state = breakers.after_success(state, passage=passage)
        elif outcome == "fail":
            state = breakers.after_failure(state, passage=passage, now=now)
        else:
            state = breakers.after_nothing(state, passage=passage)
