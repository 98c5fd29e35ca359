"""The judge of the chaos runs finds what is wrong, and only what is."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from chaos.money_books import Books, Effect, Told, judge, judge_on_the_way

ORDERS = {"debit": "t.debit.1", "credit": "t.credit.1", "refund": "t.refund.1"}
TEN = Decimal(10)


def _told(status: str, *, due: bool = False, decided: bool = False) -> Told:
    fields: dict[str, Any] = {"due": due, "decided": decided, "failure": None, "orders": ORDERS}
    return Told(id="t", status=status, amount=TEN, currency="USD", **fields)


def _effect(system: str, order: str, amount: Decimal) -> Effect:
    return Effect(system=system, order=order, currency="USD", amount=amount)


DEBIT, CREDIT = _effect("home", "t.debit.1", -TEN), _effect("partner", "t.credit.1", TEN)


def _books(told: Told, *effects: Effect, **changes: Any) -> Books:
    started = {("home", "USD"): Decimal(100), ("partner", "USD"): Decimal(100)}
    made: Sequence[Effect] = effects or (DEBIT, CREDIT)
    fields: dict[str, Any] = {
        "transfers": [told],
        "effects": list(made),
        "ledgers": {
            ledger: amount + sum((each.amount for each in made if each.system == ledger[0]), Decimal(0))
            for ledger, amount in started.items()
        },
        "started_with": started,
        "postings": {"t": frozenset({"debit", "credit"})},
    }
    return Books(**{**fields, **changes})


def test_books_that_are_right_are_found_so() -> None:
    """At the end, and on the way."""
    books = _books(_told("completed"))
    assert (judge(books), judge_on_the_way(books)) == ([], [])


def test_a_loss_and_a_double_credit_are_found() -> None:
    """By the money itself, by the feed, and by the order."""
    lost = _books(_told("completed"), ledgers={("home", "USD"): Decimal(90), ("partner", "USD"): Decimal(100)})
    assert [wrong[:3] for wrong in judge(lost)] == ["(1)", "(1)"]
    doubled = judge(_books(_told("completed"), DEBIT, CREDIT, CREDIT))
    assert [wrong[:3] for wrong in doubled] == ["(1)", "(3)", "(2)"]
    elsewhere = judge(_books(_told("completed"), DEBIT, CREDIT, _effect("third", "t.credit.1", TEN)))
    assert "(2) t.credit.1 has had 2 effects" in elsewhere


def test_what_is_told_and_did_not_happen_is_found() -> None:
    """A failure after a debit, and a completion that is not in the journal."""
    assert any("(3)" in wrong for wrong in judge(_books(_told("failed"))))
    assert judge(_books(_told("completed"), postings={})) == ["(3) t is completed, and posted []"]


def test_what_is_still_held_when_all_has_ended_is_wrong() -> None:
    """While a transfer is pending it may be."""
    assert judge(_books(_told("completed"), held=TEN)) == ["(3) every transfer has ended, and 10 is still held"]
    assert judge(_books(_told("pending", due=True), held=TEN)) == []


def test_what_a_restored_wallet_forgot_was_made() -> None:
    """The credit is in no feed and in no ledger any more: nobody else's books are wrong for it."""
    assert judge(_books(_told("completed"), DEBIT, forgotten=[CREDIT])) == []
    assert judge(_books(_told("completed"), DEBIT)) != []


def test_what_wallets_and_clerks_did_by_themselves_is_told_apart() -> None:
    """A planted movement is nobody's order; what a clerk gave back under an id of their own counts for its transfer."""
    planted = _effect("home", "own", TEN)
    assert judge(_books(_told("completed"), DEBIT, CREDIT, planted, planted=frozenset({"own"}))) == []
    assert judge(_books(_told("completed"), DEBIT, CREDIT, planted)) != []
    by_hand = _effect("home", "by-hand", TEN)
    posted = {"t": frozenset({"debit", "refund"})}
    reversed_by_hand = _books(
        _told("reversed", decided=True), DEBIT, by_hand, by_hand={"by-hand": "t"}, postings=posted
    )
    assert judge(reversed_by_hand) == []
    assert judge(_books(_told("reversed", decided=True), DEBIT, postings=posted)) != []


def test_what_no_later_moment_makes_good_is_found_on_the_way() -> None:
    """A second effect, an overdrawn account, a transfer left lying, an order that nobody gave."""
    assert judge_on_the_way(_books(_told("pending"), available_min=Decimal(-1))) == [
        "(4) an available balance is -1",
        "(5) t is pending, and nobody will look at it",
    ]
    unasked = _effect("home", "x.debit.1", -TEN)
    assert judge_on_the_way(_books(_told("pending", due=True), DEBIT, DEBIT, unasked)) == [
        "(2) t.debit.1 has had 2 effects",
        "(2) x.debit.1 is known to the wallet alone",
    ]
