"""Which version of a key lives for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.api_keys.address_list import is_within
from credentials.api_keys.changes import widens
from credentials.key_rotation.overlap import KEPT_MAX, Life, end_of_replaced, in_overlap, to_forget

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)


@given(
    overlap_seconds=st.integers(0, 30 * 86_400),
    expires_in=st.none() | st.integers(1, 90 * 86_400),
)
def test_the_overlap_never_exceeds_the_expiry(overlap_seconds: int, expires_in: int | None) -> None:
    """Whatever is asked for: the end is the sooner of the two, and never in the past."""
    expires_at = None if expires_in is None else NOW + timedelta(seconds=expires_in)
    end = end_of_replaced(now=NOW, overlap_seconds=overlap_seconds, expires_at=expires_at)
    assert NOW <= end <= NOW + timedelta(seconds=overlap_seconds)
    assert expires_at is None or end <= expires_at


def test_what_lives_in_overlap() -> None:
    """Replaced, and not over at this very moment; the current version is none of them."""
    lives = [Life(number=1, ends_at=EARLIER), Life(number=2, ends_at=NOW), Life(number=3, ends_at=LATER)]
    assert in_overlap([*lives, Life(number=4, ends_at=None)], now=NOW) == [3]


def test_only_ended_versions_are_forgotten_and_only_the_oldest() -> None:
    """Beside one more, no more than the limit are kept; what lives stays however old it is."""
    lives = [
        Life(number=1, ends_at=LATER),
        *(Life(number=number, ends_at=EARLIER) for number in range(2, KEPT_MAX + 1)),
        Life(number=KEPT_MAX + 1, ends_at=None),
    ]
    assert to_forget(lives, now=NOW) == [2, 3]
    assert to_forget(lives[: KEPT_MAX - 1], now=NOW) == []


@pytest.mark.parametrize(
    ("new", "old", "within"),
    [
        ([], [], True),
        (["192.0.2.0/24"], [], True),
        ([], ["192.0.2.0/24"], False),
        (["192.0.2.0/25", "192.0.2.128/25"], ["192.0.2.0/24"], True),
        (["192.0.2.0/23"], ["192.0.2.0/24"], False),
        (["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.0/24"], False),
        (["2001:db8:1::/48"], ["192.0.2.0/24", "2001:db8::/32"], True),
        (["0.0.0.0/0"], ["::/0"], False),
    ],
)
def test_narrower_address_lists(new: list[str], old: list[str], *, within: bool) -> None:
    """By network, within one family; no list at all is the widest."""
    assert is_within(new, old) == within
    assert widens({"allowed_cidrs": (old, new)}) != within


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [(None, NOW, False), (NOW, None, True), (NOW, LATER, True), (LATER, NOW, False)],
)
def test_later_expiries_widen(old: datetime | None, new: datetime | None, *, wider: bool) -> None:
    """No expiry is the latest of all."""
    assert widens({"expires_at": (old, new)}) == wider
    assert not widens({"name": ("a", "b")})
