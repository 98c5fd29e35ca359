"""Money of ewp/1: only its form, only its scale, nothing rounded."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp.money import (
    MalformedAmountError,
    PrecisionError,
    UnknownCurrencyError,
    at_scale,
    format_amount,
    parse_amount,
    parse_money,
    scale_of,
)

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

units = st.integers(min_value=0, max_value=10**26 - 1)
scales = st.integers(min_value=0, max_value=8)


@NO_DEADLINE
@given(units, scales)
def test_an_amount_is_read_as_it_was_written(unit: int, scale: int) -> None:
    """Every number of smallest units goes out and comes back, to the digit, at any scale."""
    amount = Decimal((0, tuple(map(int, str(unit % 10 ** (18 + scale)))), -scale))
    text = format_amount(amount, scale)
    read = parse_amount(text)
    assert read == amount
    assert read.as_tuple().exponent == -scale
    assert format_amount(read, scale) == text


@NO_DEADLINE
@given(st.text(max_size=40))
def test_only_the_form_is_read(text: str) -> None:
    """Whatever is not the form is refused; what is read says the same as the text."""
    try:
        amount = parse_amount(text)
    except MalformedAmountError:
        return
    assert text.isascii()
    assert format(amount, "f") == text


@NO_DEADLINE
@given(units, scales, scales)
def test_nothing_is_rounded(unit: int, scale: int, wanted: int) -> None:
    """Another scale is the same value, or it is refused."""
    amount = Decimal((0, tuple(map(int, str(unit % 10 ** (18 + scale)))), -scale))
    if wanted < scale:
        with pytest.raises(PrecisionError):
            at_scale(amount, wanted)
    else:
        assert at_scale(amount, wanted) == amount


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "-0",
            "01",
            "00",
            ".5",
            "5.",
            "1.",
            "1e2",
            "1E400",
            "NaN",
            "Infinity",
            "1,5",
            "1_0",
        ),
        *("0x1", "1\n", "\uff11", "\u0661", "1\u0660", "1.123456789", "1234567890123456789", "9" * 10_000, "1.2.3"),
        *(1, 1.5, True, None, Decimal("1.5"), b"1", ["1"]),
    ],
)
def test_what_is_no_amount_is_refused(value: object) -> None:
    """Signs, spaces, exponents, other digits, numbers, and text that is too long."""
    with pytest.raises(MalformedAmountError):
        parse_amount(value)


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("-0"), Decimal("1E18")])
def test_what_the_form_cannot_say_is_not_written(amount: Decimal) -> None:
    """No sign, nothing that is not a number, nothing longer than 18 digits."""
    with pytest.raises(MalformedAmountError):
        format_amount(amount, 2)


def test_an_amount_of_our_own_is_bounded_as_well() -> None:
    """One that is put to its scale without having been text, as that of an order or an answer that we make."""
    assert at_scale(Decimal(999999999999999999), 2) == Decimal("999999999999999999.00")
    with pytest.raises(MalformedAmountError):
        at_scale(Decimal("1E18"), 2)


@pytest.mark.parametrize(("currency", "scale"), [("JPY", 0), ("USD", 2), ("BHD", 3), ("CLF", 4)])
def test_scales_are_those_of_the_standard(currency: str, scale: int) -> None:
    """ISO 4217 says how many decimals a currency has."""
    assert scale_of(currency) == scale
    assert parse_money("5", currency=currency).as_tuple().exponent == -scale


@pytest.mark.parametrize(
    "currency", ["usd", "US", "USDT", "XXX", "XAU", "XTS", "ZZZ", "", "U$D", "\uff35SD", "USD\n", "MRO_"]
)
def test_what_is_no_currency_is_refused(currency: str) -> None:
    """No small letters, nothing without a minor unit, nothing that is not in the standard."""
    with pytest.raises(UnknownCurrencyError):
        scale_of(currency)


@pytest.mark.parametrize(
    ("text", "currency"), [("1.0", "JPY"), ("1.001", "USD"), ("1.000", "USD"), ("1.0001", "BHD"), ("0.00000001", "EUR")]
)
def test_too_many_decimals_are_refused(text: str, currency: str) -> None:
    """Also when they are zeros: a wallet that counts differently is found out at once."""
    with pytest.raises(PrecisionError):
        parse_money(text, currency=currency)


def test_the_decimal_context_of_the_caller_changes_nothing() -> None:
    """Not its precision: an amount is never the result of an operation."""
    with localcontext(prec=3):
        assert str(parse_money("999999999999999999.9", currency="USD")) == "999999999999999999.90"
