"""Which event types a webhook wants. Pure.

A selector is a type name (``withdrawal.rejected``), a prefix with a wildcard at its end (``withdrawal.*``), or ``*``.
"""

import re
from collections.abc import Iterable
from itertools import chain

from webhook_dispatcher.event_types import catalogue

SELECTOR_CHARS_MAX = 128
_FORM = re.compile(r"\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*(?:\.\*)?", re.ASCII)


def is_well_formed(selector: str) -> bool:
    """Tell whether a text is a selector at all."""
    return len(selector) <= SELECTOR_CHARS_MAX and _FORM.fullmatch(selector) is not None


def selects(selector: str, event_type: str) -> bool:
    """Tell whether a selector covers an event type."""
    if selector == "*":
        return True
    if selector.endswith(".*"):
        return event_type.startswith(selector[:-1])
    return selector == event_type


def selects_any(selectors: Iterable[str], event_type: str) -> bool:
    """Tell whether one of the selectors covers an event type."""
    return any(selects(selector, event_type) for selector in selectors)


def matches_known_type(selector: str, own_names: Iterable[str] = ()) -> bool:
    """Tell whether a selector covers an existing event type, built in or own, so that a typo is noticed at creation."""
    built_in = (event_type.name for event_type in catalogue.all_types())
    return any(selects(selector, name) for name in chain(built_in, own_names))
