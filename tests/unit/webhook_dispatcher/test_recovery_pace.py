"""How much a recovery sends at once: never a flood, never nothing."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_dispatcher.recoveries.pace import batch_size, due_counted, pace, verdict


@pytest.mark.parametrize(
    ("rate", "webhook_rate", "due", "batch"),
    [
        (100, None, 0, 100),
        (100, None, 100, 100),
        (100, None, 150, 50),
        (100, None, 200, 1),
        (100, None, 5_000, 1),
        (100, 50, 0, 25),
        (100, 50, 40, 10),
        (100, 1, 0, 1),
        (100, 10_000, 0, 100),
    ],
)
def test_a_batch_fills_up_what_the_destination_has_worked_off(
    rate: int, webhook_rate: int | None, due: int, batch: int
) -> None:
    """A second's worth, less what still waits; half of a webhook's own rate; one where the destination lags behind."""
    assert batch_size(rate_per_second=rate, webhook_rate_per_second=webhook_rate, due=due) == batch


@given(rate=st.integers(1, 10_000), webhook_rate=st.none() | st.integers(1, 10_000), due=st.integers(0, 1_000_000))
def test_a_recovery_always_moves_and_never_floods(rate: int, webhook_rate: int | None, due: int) -> None:
    """At least one, at most the rate; and what waits at the destination grows beyond two seconds' worth by one a second only."""
    batch = batch_size(rate_per_second=rate, webhook_rate_per_second=webhook_rate, due=due)
    own = pace(rate_per_second=rate, webhook_rate_per_second=webhook_rate)
    assert 1 <= batch <= own <= rate
    assert batch == 1 or due + batch <= due_counted(rate_per_second=own)


@pytest.mark.parametrize(
    ("state", "expected"), [("enabled", "go"), ("disabled", "wait"), ("open", "wait"), (None, "end")]
)
def test_a_webhook_that_gets_nothing_is_waited_for_and_a_deleted_one_ends_it(
    state: Literal["enabled", "disabled", "open"] | None, expected: str
) -> None:
    """So nothing is made pending that could only be held."""
    assert verdict(state=state) == expected
