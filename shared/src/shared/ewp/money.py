"""Amounts of money as ``ewp/1`` writes them: decimal text, exact, never rounded.

Errors::

    MoneyError (ValueError)
    ├── MalformedAmountError     not of the form: a sign, a space, an exponent, other digits, too long, no text at all
    ├── UnknownCurrencyError     no currency of ISO 4217 that has a minor unit
    └── PrecisionError           more decimals than the currency has
"""

import functools
import re
from decimal import Decimal
from typing import Final

from iso4217 import Currency

SCALE_MAX: Final = 8
INTEGER_DIGITS_MAX: Final = 18

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class MoneyError(ValueError):
    """Something is not an amount of money that can be moved as it stands."""


class MalformedAmountError(MoneyError):
    r"""A text is not ``^(0|[1-9]\d{0,17})(\.\d{1,8})?$`` in ASCII."""


class UnknownCurrencyError(MoneyError):
    """A code is not of ISO 4217, or belongs to something without a minor unit (gold, a testing code)."""


class PrecisionError(MoneyError):
    """An amount has more decimals than its currency: moving it would mean rounding it."""


def parse_amount(text: object) -> Decimal:
    """Return the exact value, with the decimals as written; raises MalformedAmountError for everything but text of the form.

    Any object may be handed in: numbers and booleans out of JSON are refused, not converted.
    """
    if not isinstance(text, str) or _AMOUNT.fullmatch(text) is None:
        raise MalformedAmountError("an amount is decimal text: at most 18 digits, then at most 8 decimals")
    return Decimal(text)


def parse_money(text: object, *, currency: str) -> Decimal:
    """Return an amount of ``currency`` with exactly its scale; raises any MoneyError.

    Fewer decimals than the scale are the same amount ("10" USD is "10.00"); more are refused, also when they are zeros.
    """
    return at_scale(parse_amount(text), scale_of(currency))


def format_amount(amount: Decimal, scale: int) -> str:
    """Return ``amount`` with exactly ``scale`` decimals.

    Raises PrecisionError when it has more, MalformedAmountError for what the form cannot say (negative, not finite, too large).
    """
    text = format(at_scale(amount, scale), "f")
    if _AMOUNT.fullmatch(text) is None:
        raise MalformedAmountError("this amount cannot be written in the form")
    return text


def at_scale(amount: Decimal, scale: int) -> Decimal:
    """Return the same value with exactly ``scale`` decimals (0 to 8); raises PrecisionError or MalformedAmountError."""
    if not 0 <= scale <= SCALE_MAX:
        raise ValueError(f"a scale is 0 to {SCALE_MAX}")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        raise MalformedAmountError("an amount is a finite number")
    if -exponent > scale:
        raise PrecisionError(f"{-exponent} decimals where {scale} are allowed")
    if amount.adjusted() >= INTEGER_DIGITS_MAX:
        raise MalformedAmountError(f"an amount has at most {INTEGER_DIGITS_MAX} digits before the point")
    sign, digits, _ = amount.as_tuple()
    # Built from its digits: quantize() would go by the precision of whatever decimal context the caller runs in.
    return Decimal((sign, (*digits, *(0,) * (scale + exponent)), -scale))


@functools.lru_cache(maxsize=512)
def scale_of(currency: str) -> int:
    """Return the number of decimals of an ISO 4217 code (JPY 0, USD 2, BHD 3); raises UnknownCurrencyError."""
    if _CURRENCY.fullmatch(currency) is None:
        raise UnknownCurrencyError("a currency is three capital letters of ISO 4217")
    try:
        scale: int | None = Currency(currency).exponent
    except ValueError:
        scale = None
    if scale is None or not 0 <= scale <= SCALE_MAX:
        raise UnknownCurrencyError(f"{currency} is no currency of ISO 4217 with a minor unit")
    return scale
