"""What follows an attempt: the whole decision as a table, and its bounds as properties."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook_dispatcher.deliveries.retry_policy import (
    DEFAULT_DELAYS_SECONDS,
    DELAY_COUNT_MAX,
    JITTER,
    OWN_FAULT_DELAY,
    RETRY_AFTER_MAX,
    TOTAL_SECONDS_MAX,
    Answered,
    Decision,
    Delivered,
    GiveUp,
    NoAnswer,
    Outcome,
    OwnFault,
    Retry,
    decide,
)

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
DELAYS = (5, 30, 120)
ATTEMPTS_MAX = len(DELAYS) + 1
POSITIONS = range(ATTEMPTS_MAX)

SUCCESSES: list[Outcome] = [Answered(status=status) for status in (200, 201, 202, 204, 206, 226, 299)]
FAILURES: list[Outcome] = [
    *(
        Answered(status=status)
        for status in (100, 199, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 408, 409)
    ),
    *(Answered(status=status) for status in (411, 413, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 520, 599)),
    *(NoAnswer(code=code) for code in ("timeout", "connection_refused", "address_blocked", "tls_failed")),
]
OWN_FAULTS: list[Outcome] = [OwnFault(code=code) for code in ("closed", "internal_error")]


def _decide(outcome: Outcome, *, failures: int = 0, delays: tuple[int, ...] = DELAYS, jitter: float = 0.5) -> Decision:
    return decide(outcome, failures=failures, delays_seconds=delays, now=NOW, jitter=lambda: jitter)


@pytest.mark.parametrize("failures", POSITIONS)
@pytest.mark.parametrize("outcome", SUCCESSES, ids=repr)
def test_any_2xx_is_success_at_every_position(outcome: Outcome, failures: int) -> None:
    """Also at the last attempt."""
    assert _decide(outcome, failures=failures) == Delivered()


@pytest.mark.parametrize("failures", POSITIONS)
@pytest.mark.parametrize("outcome", FAILURES, ids=repr)
def test_a_failure_moves_along_the_schedule_and_gives_up_at_its_end(outcome: Outcome, failures: int) -> None:
    """The n-th failure waits for the n-th delay; the one after the last delay ends the delivery."""
    decision = _decide(outcome, failures=failures)
    if failures < len(DELAYS):
        assert decision == Retry(after=timedelta(seconds=DELAYS[failures]), failures=failures + 1)
    else:
        assert decision == GiveUp(failures=failures + 1)


@pytest.mark.parametrize("failures", [*POSITIONS, 1000])
@pytest.mark.parametrize("outcome", OWN_FAULTS, ids=repr)
def test_our_own_fault_never_uses_up_an_attempt(outcome: Outcome, failures: int) -> None:
    """Wherever the schedule stands, it stands there still, and the next attempt comes soon."""
    assert _decide(outcome, failures=failures) == Retry(after=OWN_FAULT_DELAY, failures=failures)


@pytest.mark.parametrize("failures", [*POSITIONS, 1000])
def test_gone_disables_and_keeps_the_delivery(failures: int) -> None:
    """410 stops the webhook at once; the delivery is held, not failed, and is due when somebody enables it again."""
    assert _decide(Answered(status=410), failures=failures) == Retry(
        after=timedelta(0), failures=failures, disable=True
    )


def test_without_delays_the_first_failure_is_the_last() -> None:
    """An empty schedule means one attempt."""
    assert _decide(NoAnswer(code="timeout"), delays=()) == GiveUp(failures=1)


def test_the_default_schedule_is_the_documented_one() -> None:
    """Eleven delays, so twelve attempts, over about three days, within the bounds of own schedules."""
    assert DEFAULT_DELAYS_SECONDS == (5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400, 86400)
    assert timedelta(days=2.9) < timedelta(seconds=sum(DEFAULT_DELAYS_SECONDS)) < timedelta(days=3.1)
    assert len(DEFAULT_DELAYS_SECONDS) <= DELAY_COUNT_MAX == 20
    assert sum(DEFAULT_DELAYS_SECONDS) <= TOTAL_SECONDS_MAX == 30 * 86400


SCHEDULED = timedelta(seconds=DELAYS[0])
IN_AN_HOUR = NOW + timedelta(hours=1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("60", timedelta(seconds=60)),
        (" 60 ", timedelta(seconds=60)),
        ("0060", timedelta(seconds=60)),
        ("5", SCHEDULED),
        ("0", SCHEDULED),
        ("1", SCHEDULED),
        ("-1", SCHEDULED),
        ("-99999999999999999999", SCHEDULED),
        ("86399", timedelta(seconds=86399)),
        ("86400", RETRY_AFTER_MAX),
        ("86401", RETRY_AFTER_MAX),
        ("9" * 12, RETRY_AFTER_MAX),
        ("9" * 5000, RETRY_AFTER_MAX),
        (format_datetime(IN_AN_HOUR, usegmt=True), timedelta(hours=1)),
        (format_datetime(IN_AN_HOUR.replace(tzinfo=None)), timedelta(hours=1)),
        ("Wed, 01 Jul 2026 15:00:00 +0200", timedelta(hours=1)),
        ("Wed, 01 Jul 2026 13:00:00", timedelta(hours=1)),
        ("Wednesday, 01-Jul-26 13:00:00 GMT", timedelta(hours=1)),
        ("Wed, 01 Jul 1970 13:00:00 GMT", SCHEDULED),
        ("Wed, 01 Jul 9999 13:00:00 GMT", RETRY_AFTER_MAX),
        ("Fri, 31 Dec 9999 23:59:59 -1200", RETRY_AFTER_MAX),
        ("Mon, 01 Jan 0001 00:00:00 +1200", SCHEDULED),
        ("Wed, 01 Jul 99999999999 13:00:00 GMT", SCHEDULED),
        ("Wed, 99999999999999999999 Jul 2026 13:00:00 GMT", SCHEDULED),
        ("Wed, 01 Jul 2026 99999999999999999999:00:00 GMT", SCHEDULED),
        ("1 Jul 2026 13:00:00 -99999999999999999999999", SCHEDULED),
        ("2026-07-01T13:00:00Z", SCHEDULED),
        ("soon", SCHEDULED),
        ("", SCHEDULED),
        ("1.5", SCHEDULED),
        ("1e9", SCHEDULED),
        ("60, 120", SCHEDULED),
        ("٦٠", SCHEDULED),
        ("NaN", SCHEDULED),
        (None, SCHEDULED),
    ],
)
def test_retry_after_moves_the_next_attempt_within_bounds(
    status: int, retry_after: str | None, wait: timedelta
) -> None:
    """Never before the schedule, never more than 24 hours away; what cannot be read is as if it were not there."""
    assert _decide(Answered(status=status, retry_after=retry_after)) == Retry(after=wait, failures=1)


@pytest.mark.parametrize("status", [400, 404, 408, 500, 502, 504, 302])
def test_retry_after_counts_for_429_and_503_alone(status: int) -> None:
    """With other answers the schedule stays."""
    assert _decide(Answered(status=status, retry_after="3600")) == Retry(after=SCHEDULED, failures=1)


def test_retry_after_never_prolongs_the_schedule() -> None:
    """At the last attempt it changes nothing, and it never brings a long delay forward."""
    asked = Answered(status=503, retry_after="60")
    assert _decide(asked, failures=len(DELAYS)) == GiveUp(failures=len(DELAYS) + 1)
    assert _decide(asked, delays=(500_000,)) == Retry(after=timedelta(seconds=500_000), failures=1)
    later = Answered(status=503, retry_after="9999999")
    assert _decide(later, delays=(500_000,)) == Retry(after=timedelta(seconds=500_000), failures=1)


@given(
    delays=st.lists(st.integers(1, TOTAL_SECONDS_MAX), min_size=1, max_size=DELAY_COUNT_MAX),
    position=st.integers(0, DELAY_COUNT_MAX - 1),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_within_ten_percent(delays: list[int], position: int, jitter: float) -> None:
    """Every delay varies by at most a tenth of itself, to either side."""
    failures = position % len(delays)
    decision = _decide(NoAnswer(code="timeout"), failures=failures, delays=tuple(delays), jitter=jitter)
    assert isinstance(decision, Retry)
    wait, slack = decision.after.total_seconds(), 1e-5
    assert delays[failures] * (1 - JITTER) - slack <= wait <= delays[failures] * (1 + JITTER) + slack


def test_jitter_is_random_unless_told_otherwise() -> None:
    """A storm of failures at one moment does not come back as one."""
    waits = {decide(NoAnswer(code="timeout"), failures=0, delays_seconds=[1000], now=NOW) for _ in range(20)}
    assert len(waits) > 1


@given(retry_after=st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ \S*"))
@example(retry_after="Wed, 21 Oct 2026 07:28:00 +9999")
def test_whatever_a_destination_writes_the_next_attempt_is_within_bounds(retry_after: str) -> None:
    """No text raises, and none moves the attempt out of [scheduled, 24 h]."""
    decision = _decide(Answered(status=429, retry_after=retry_after))
    assert isinstance(decision, Retry)
    assert SCHEDULED <= decision.after <= RETRY_AFTER_MAX


@given(
    outcome=st.sampled_from([*SUCCESSES, *FAILURES, *OWN_FAULTS, Answered(status=410)]),
    delays=st.lists(st.integers(1, 100_000), max_size=DELAY_COUNT_MAX),
)
def test_an_endless_failure_makes_one_attempt_more_than_there_are_delays(outcome: Outcome, delays: list[int]) -> None:
    """Following the decisions ends after exactly ``len(delays) + 1`` counted attempts."""
    failures = attempts = 0
    while attempts <= DELAY_COUNT_MAX + 1:
        attempts += 1
        decision = _decide(outcome, failures=failures, delays=tuple(delays))
        if not isinstance(decision, Retry) or decision.failures == failures:
            break
        failures = decision.failures
    if isinstance(decision, GiveUp):
        assert attempts == len(delays) + 1
    else:
        assert attempts == 1


@pytest.mark.parametrize("failures", POSITIONS)
@pytest.mark.parametrize("outcome", FAILURES)
def test_a_probe_that_fails_uses_up_nothing(outcome: Outcome, failures: int) -> None:
    """Due at once, behind what else is held, also where the schedule would be used up; `Retry-After` is the breaker's wait."""
    decision = decide(outcome, failures=failures, delays_seconds=DELAYS, now=NOW, probe=True)
    assert decision == Retry(after=timedelta(0), failures=failures)


@pytest.mark.parametrize("outcome", [*SUCCESSES, *OWN_FAULTS, Answered(status=410)])
def test_a_probe_is_otherwise_like_any_attempt(outcome: Outcome) -> None:
    """Success, 410 and our own faults lead to the same."""
    expected = decide(outcome, failures=2, delays_seconds=DELAYS, now=NOW)
    assert decide(outcome, failures=2, delays_seconds=DELAYS, now=NOW, probe=True) == expected
