"""Keyset pagination: newest first, stable under inserts. Used by every service's lists."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar, get_args
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from shared.problems import ValidationFailed

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
CURSOR_PATTERN = "^[A-Za-z0-9_-]{22}$"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _with_offset(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("a time of RFC 3339 with an offset is required (in a URL, + is written %2B)")
    return value


FilterTime = Annotated[AwareDatetime, BeforeValidator(_with_offset)]
"""A time that a list is filtered by. Without an offset it would mean whatever zone the server happens to be in."""

Item = TypeVar("Item")
Row = TypeVar("Row")


class PageQuery(BaseModel):
    """``?limit=&cursor=``; a list's own filters derive from this. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many to return.")] = LIMIT_DEFAULT
    cursor: Annotated[str | None, Field(pattern=CURSOR_PATTERN, description="`next_cursor` of the page before.")] = None

    @property
    def position(self) -> UUID | None:
        """Return the id after which the page starts; raises ValidationFailed for a cursor that is none of ours."""
        return None if self.cursor is None else decode_cursor(self.cursor)


def _show_a_page(schema: dict[str, Any], page: type[BaseModel]) -> None:
    """Show one page with the example of its items, where they have one."""
    (item,) = get_args(page.model_fields["data"].annotation)
    shown = item.model_config.get("json_schema_extra") if hasattr(item, "model_config") else None
    if isinstance(shown, dict) and "examples" in shown:
        cursor = encode_cursor(UUID("0192f3f1-e511-7953-8000-3f8a3c5e9d7e"))
        schema["examples"] = [{"data": shown["examples"], "next_cursor": cursor}]


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra=_show_a_page)

    data: list[Item]
    next_cursor: str | None = None


def encode_cursor(position: UUID) -> str:
    """Return an opaque cursor for the last id of a page."""
    return base64.urlsafe_b64encode(position.bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> UUID:
    """Return the id in a cursor; raises ValidationFailed."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as exc:
        raise ValidationFailed(errors=[{"pointer": "query/cursor", "detail": "not a cursor of this list"}]) from exc


def page_of(
    rows: Sequence[Row], *, limit: int, position: Callable[[Row], UUID], item: Callable[[Row], Item]
) -> Page[Item]:
    """Make a page of up to ``limit`` from ``limit + 1`` rows read; the extra one says that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        data=[item(row) for row in shown], next_cursor=encode_cursor(position(shown[-1])) if more and shown else None
    )
