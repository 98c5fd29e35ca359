"""A full window's allowance at once, then an even flow, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limits import RateLimiter
from support.fake_credentials import Clock


def limiter(clock: Clock, *, limit: int = 5, window_seconds: int = 10, keys_max: int = 100) -> RateLimiter:
    """Return a small limiter."""
    return RateLimiter("test", limit=limit, window_seconds=window_seconds, keys_max=keys_max, clock=clock)


def test_the_allowance_may_be_spent_at_once_and_comes_back_evenly() -> None:
    """Five, then none; after one fifth of the window one more."""
    clock = Clock()
    limited = limiter(clock)
    assert [limited.take("key").remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    assert limited.is_spent("key")
    refused = limited.take("key")
    assert refused.retry_after_seconds is not None
    assert abs(refused.retry_after_seconds - 2.0) < 1e-6
    clock.now += 2.0
    assert not limited.is_spent("key")
    assert limited.take("key").retry_after_seconds is None
    assert limited.take("key").retry_after_seconds is not None
    clock.now += 10.0
    assert limited.take("key").remaining == 4


def test_keys_do_not_share_and_refusals_cost_nothing() -> None:
    """One key's flood is not another's, and does not push its own allowance further away."""
    clock = Clock()
    limited = limiter(clock)
    for _ in range(50):
        limited.take("loud")
    assert limited.take("quiet").remaining == 4
    clock.now += 2.0
    assert limited.take("loud").retry_after_seconds is None


def test_memory_is_bounded() -> None:
    """The key that was not seen for longest is forgotten first."""
    limited = limiter(Clock(), limit=1, keys_max=3)
    for name in ("a", "b", "c", "d"):
        limited.take(name)
    assert len(limited) == 3
    assert limited.take("d").retry_after_seconds is not None
    assert limited.take("a").retry_after_seconds is None


def test_the_headers_are_those_of_the_draft() -> None:
    """A named policy with its quota and window; what remains of it, and the seconds until it is whole."""
    clock = Clock()
    limited = limiter(clock)
    limited.take("key")
    assert limited.take("key").headers() == (
        (b"ratelimit", b'"test";r=3;t=4'),
        (b"ratelimit-policy", b'"test";q=5;w=10'),
    )


@given(
    steps=st.lists(st.floats(0, 3), min_size=1, max_size=80),
    limit=st.integers(1, 7),
    window_seconds=st.integers(1, 5),
)
def test_never_more_than_twice_the_limit_in_any_window(steps: list[float], limit: int, window_seconds: int) -> None:
    """A burst and the flow behind it: the bound of this algorithm, whatever the times."""
    clock = Clock()
    limited = limiter(clock, limit=limit, window_seconds=window_seconds)
    allowed: list[float] = []
    for step in steps:
        clock.now += step
        while limited.take("key").retry_after_seconds is None:
            allowed.append(clock.now)
    for start in allowed:
        assert sum(1 for moment in allowed if start <= moment < start + window_seconds) <= 2 * limit
