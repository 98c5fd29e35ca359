"""Cursors, and pages cut from one row more than was asked for."""

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.pagination import LIMIT_MAX, Page, PageQuery, decode_cursor, encode_cursor, page_of
from shared.problems import ValidationFailed


@given(st.uuids())
def test_cursor_comes_back(position: UUID) -> None:
    """A cursor holds the last id of the page."""
    assert decode_cursor(encode_cursor(position)) == position


@given(st.text(max_size=128))
def test_any_cursor_is_read_or_refused(cursor: str) -> None:
    """Whatever is sent as a cursor ends in a position or in ValidationFailed."""
    with contextlib.suppress(ValidationFailed):
        decode_cursor(cursor)


def test_a_wrong_cursor_is_pointed_at() -> None:
    """The problem names the parameter."""
    with pytest.raises(ValidationFailed) as problem:
        decode_cursor("nonsense")
    assert problem.value.errors[0]["pointer"] == "query/cursor"


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_page_says_whether_there_is_more(rows: int) -> None:
    """Two are shown; a third that was read makes the cursor."""
    ids = [UUID(int=number) for number in range(rows)]
    page: Page[str] = page_of(ids, limit=2, position=lambda row: row, item=str)
    assert len(page.data) == min(rows, 2)
    assert page.next_cursor == (encode_cursor(ids[1]) if rows == 3 else None)


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": LIMIT_MAX + 1}, {"limit": "x"}, {"other": 1}, {"cursor": "x" * 129}]
)
def test_query_has_limits_and_no_unknown_parameters(query: dict[str, object]) -> None:
    """Limits are 1-200, and what is not known is refused."""
    with pytest.raises(ValidationError):
        PageQuery.model_validate(query)
