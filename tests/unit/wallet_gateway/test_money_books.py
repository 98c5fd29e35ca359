"""The judge of the chaos runs finds what is wrong, and only what is."""

from decimal import Decimal
from typing import Any

from chaos.money_books import Books, Told, judge, judge_on_the_way

ORDERS = {"debit": "t.debit.1", "credit": "t.credit.1", "refund": "t.refund.1"}
TEN = Decimal(10)


def _told(status: str, *, due: bool = False) -> Told:
    return Told(id="t", status=status, amount=TEN, shape=None, due=due, orders=ORDERS)


def _books(told: Told, **changes: Any) -> Books:
    fields: dict[str, Any] = {
        "transfers": [told],
        "effects": {"home/t.debit.1": [-TEN], "partner/t.credit.1": [TEN]},
        "ledgers": {"home": Decimal(90), "partner": Decimal(110)},
        "started_with": {"home": Decimal(100), "partner": Decimal(100)},
        "postings": {"t": frozenset({"debit", "credit"})},
    }
    return Books(**{**fields, **changes})


def test_books_that_are_right_are_found_so() -> None:
    """At the end, and on the way."""
    books = _books(_told("completed"))
    assert (judge(books), judge_on_the_way(books)) == ([], [])


def test_what_is_still_held_when_all_has_ended_is_wrong() -> None:
    """While a transfer is pending it may be."""
    assert judge(_books(_told("completed"), held=TEN)) == ["(3) every transfer has ended, and 10 is still held"]
    assert judge(_books(_told("pending", due=True), held=TEN)) == []


def test_what_no_later_moment_makes_good_is_found_on_the_way() -> None:
    """A second effect, an overdrawn account, a transfer left lying, an order that nobody gave."""
    assert judge_on_the_way(_books(_told("pending"), available_min=Decimal(-1))) == [
        "(4) an available balance is -1",
        "(5) t is pending, and nobody will look at it",
    ]
    effects = {"home/t.debit.1": [-TEN, -TEN], "home/x.debit.1": [-TEN]}
    assert judge_on_the_way(_books(_told("pending", due=True), effects=effects)) == [
        "(2) home/t.debit.1 has had 2 effects",
        "(2) home/x.debit.1 is known to the wallet alone",
    ]
