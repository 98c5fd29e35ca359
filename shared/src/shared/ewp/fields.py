"""The kinds of value that ``ewp/1`` puts into JSON, as strict pydantic types. Used by ``messages.py`` on both sides."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, StringConstraints

from shared.ewp.money import parse_amount, scale_of

STEP_ID_PATTERN: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"

# RFC 3339 with the upper-case T and Z that everybody writes; fromisoformat alone would take much more.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_MICROSECOND_CHARS = len("2026-01-01T00:00:00.000000")


def format_time(time: datetime) -> str:
    """Return RFC 3339 in UTC with milliseconds and ``Z``; what is finer is cut off."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(value: object) -> datetime:
    """Return an aware time in UTC from RFC 3339 text (or from an aware datetime, to the millisecond); raises ValueError."""
    if isinstance(value, str):
        if _TIME.fullmatch(value) is None:
            raise ValueError("a time is RFC 3339 text with a zone")
        zone_at = len(value) - (1 if value.endswith("Z") else 6)
        value = datetime.fromisoformat(value[: min(zone_at, _MICROSECOND_CHARS)] + value[zone_at:])
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("a time is RFC 3339 text with a zone")
    try:
        utc = value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time within the calendar") from error
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _amount(value: object) -> Decimal:
    # A Decimal comes from our own code only: JSON has text, integers and LosslessFloat.
    return value if isinstance(value, Decimal) else parse_amount(value)


def _known_currency(code: str) -> str:
    scale_of(code)
    return code


Amount = Annotated[
    Decimal, BeforeValidator(_amount), PlainSerializer(lambda amount: format(amount, "f"), return_type=str)
]
"""Decimal text on the wire. The model that has it puts it to its currency's scale."""

Currency = Annotated[str, AfterValidator(_known_currency)]
"""An ISO 4217 code with a minor unit."""

CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{3,12}$")]
"""A code that a wallet uses for something it shows; only those of ISO 4217 can be moved."""

Time = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(format_time, return_type=str)]
"""RFC 3339 text on the wire, to the millisecond."""

Ref = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""A name that another system gave to something of its own."""

StepId = Annotated[str, StringConstraints(pattern=STEP_ID_PATTERN)]
"""The id of one step, ``<transfer>.<leg>.<n>``; it stands in paths as it is."""
