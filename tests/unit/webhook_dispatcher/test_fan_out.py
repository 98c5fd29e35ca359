"""Which webhooks select an event, and which deliveries it owes."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.events.event import Event
from webhook_dispatcher.events.fan_out import RealmWebhooks, Subscription, delivery_id_of, parts, plan
from webhook_dispatcher.webhooks import selectors

ALL_NAMES = [event_type.name for event_type in catalogue.all_types()]


@pytest.mark.parametrize(
    ("selector", "event_type", "selected"),
    [
        ("*", "withdrawal.rejected", True),
        ("withdrawal.*", "withdrawal.rejected", True),
        ("withdrawal.*", "withdrawal.approved.node.2", True),
        ("withdrawal.approved.*", "withdrawal.approved.node.2", True),
        ("withdrawal.approved.*", "withdrawal.rejected", False),
        ("withdrawal.rejected", "withdrawal.rejected", True),
        ("withdrawal.approved.node.1", "withdrawal.approved.node.10", False),
        ("withdrawal.approved.node.1", "withdrawal.approved.node.1", True),
        ("prop_trading.*", "prop_trading_live.rejected", False),
        ("prop_trading.*", "prop_trading.rejected", True),
        ("pay.*", "payment.failed", False),
        ("withdrawal", "withdrawal.rejected", False),
    ],
)
def test_a_selector_covers_whole_names_and_parts(selector: str, event_type: str, *, selected: bool) -> None:
    """A wildcard stands for whole parts of a name; without one, the name must be equal."""
    assert selectors.selects(selector, event_type) is selected
    assert selectors.selects_any(["kyc.rejected", selector], event_type) is selected
    assert selectors.selects_any([], event_type) is False


@pytest.mark.parametrize("selector", ["*", "a", "a.b", "a.*", "a_b.c.*", "withdrawal.approved.node.10", "a" * 128])
def test_well_formed_selectors(selector: str) -> None:
    """Names of lower-case parts, with a wildcard at the end alone."""
    assert selectors.is_well_formed(selector)


@pytest.mark.parametrize(
    "selector",
    [
        "",
        ".",
        ".*",
        "*.",
        "**",
        "a.",
        ".a",
        "a..b",
        "a.*.b",
        "a*",
        "*.a",
        "A.b",
        "a b",
        "a\n",
        "é.*",
        "a.**",
        "a" * 129,
    ],
)
def test_malformed_selectors(selector: str) -> None:
    """Anything else is refused rather than silently matching nothing."""
    assert not selectors.is_well_formed(selector)


def test_a_typo_matches_no_known_type() -> None:
    """So registration can refuse it."""
    assert all(selectors.matches_known_type(name) for name in ALL_NAMES)
    assert selectors.matches_known_type("payout.*")
    assert not selectors.matches_known_type("payuot.*")
    assert not selectors.matches_known_type("withdrawal.approved.node.11")


@given(st.sampled_from(ALL_NAMES), st.integers(0, 4))
def test_every_prefix_with_a_wildcard_covers_the_name(name: str, parts: int) -> None:
    """Whatever part of a name is cut off at a dot, the wildcard stands for it."""
    head = name.split(".")[:parts]
    selector = ".".join([*head, "*"])
    assert selectors.is_well_formed(selector)
    assert selectors.selects(selector, name) is (len(head) < len(name.split(".")))


Trigger = Literal["first", "every"]


def _event(event_type: str) -> Event:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    return Event(
        id=typeids.new_id(),
        realm=Realm(tenant_id=typeids.new_id(), environment="live"),
        event_id="e",
        type=event_type,
        function=catalogue.function_of(event_type),
        subject="s",
        ordering_key=None,
        occurred_at=now,
        payload=b"{}",
    )


def _webhooks(*wanted: tuple[list[str], Trigger]) -> RealmWebhooks:
    return RealmWebhooks(
        revision=1,
        subscriptions=[
            Subscription(webhook_id=typeids.new_id(), events=events, trigger=trigger) for events, trigger in wanted
        ],
    )


def test_an_event_owes_one_delivery_to_each_webhook_that_selects_it() -> None:
    """However many of a webhook's selectors match; others get none."""
    webhooks = _webhooks(
        (["withdrawal.*", "withdrawal.rejected", "*"], "every"),
        (["kyc.*"], "every"),
        (["withdrawal.rejected"], "every"),
    )
    event = _event("withdrawal.rejected")
    owed = list(plan(event, webhooks))
    assert [item.webhook_id for item in owed] == [
        webhooks.subscriptions[0].webhook_id,
        webhooks.subscriptions[2].webhook_id,
    ]
    assert all(item.event is event for item in owed)
    assert len({item.id for item in owed}) == 2
    assert list(plan(_event("payment.failed"), _webhooks((["kyc.*"], "every")))) == []


@pytest.mark.parametrize("name", ALL_NAMES)
@pytest.mark.parametrize("trigger", ["first", "every"])
def test_first_applies_to_decisions_about_requests_alone(name: str, trigger: Trigger) -> None:
    """A payout is started once for a request; a payment's outcome is always sent, and so is what became of a transfer."""
    (owed,) = plan(_event(name), _webhooks((["*"], trigger)))
    function, _, outcome = name.partition(".")
    request = function in {"withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc"}
    decision = outcome == "rejected" or outcome.startswith("approved.node.")
    assert owed.first is (request and decision and trigger == "first")


def test_the_answer_per_type_is_remembered() -> None:
    """The same list is given again, of this revision alone."""
    webhooks = _webhooks((["kyc.*"], "every"))
    assert webhooks.matching("kyc.rejected") is webhooks.matching("kyc.rejected")
    assert _webhooks((["*"], "every")).matching("kyc.rejected") is not webhooks.matching("kyc.rejected")


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1))
def test_a_delivery_id_is_a_neighbour_of_its_events(milliseconds: int, rand_a: int, rand_b: int) -> None:
    """A UUIDv7 with the event's leading 64 bits: in the same day's partition, and within the range that finds it."""
    event = UUID(int=milliseconds << 80 | 7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
    delivery = delivery_id_of(event)
    assert (delivery.version, delivery.variant) == (7, event.variant)
    assert delivery.int >> 64 == event.int >> 64
    assert delivery != delivery_id_of(event)


def test_ids_made_one_after_another_are_in_order() -> None:
    """Within a millisecond as well: `first` in one batch is the first of the batch."""
    ids = [typeids.new_id() for _ in range(10_000)]
    assert ids == sorted(ids)


@given(weights=st.lists(st.integers(min_value=0, max_value=20)), weight_max=st.integers(min_value=1, max_value=30))
def test_parts_keep_every_event_in_order_and_within_the_limit(weights: list[int], weight_max: int) -> None:
    """Nothing is lost or reordered; a part is over the limit only when it is one event that is so by itself."""
    events = [_event("payment.succeeded") for _ in weights]
    weight_of = {event.id: weight for event, weight in zip(events, weights, strict=True)}
    cut = list(parts(events, weights, weight_max=weight_max))
    assert [event for part in cut for event in part] == events
    for part in cut:
        assert len(part) == 1 or sum(weight_of[event.id] for event in part) <= weight_max
