"""An event type that a realm defined itself, and what it may be called. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from webhook_dispatcher.event_types import catalogue

NAME_CHARS_MAX: Final = 128
NAME_PATTERN: Final = r"^[a-z0-9_]+(\.[a-z0-9_]+)+$"
TYPES_MAX: Final = 200
"""Own types of a realm."""
_NAME: Final = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmType:
    """One row of ``event_types``."""

    id: UUID
    revision: int
    name: str
    description: str
    json_schema: Mapping[str, Any] = field(repr=False)
    example: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RealmTypeRef:
    """Which schema a name stands for now."""

    id: UUID
    revision: int


def is_own_name(name: str) -> bool:
    """Tell whether an own type may have that name: dotted, lower case, and of a function that is not built in.

    The built-in functions stay ours altogether: selectors, ``trigger: first`` and the CRM's envelope go by them.
    """
    if len(name) > NAME_CHARS_MAX or _NAME.fullmatch(name) is None:
        return False
    return catalogue.function_of(name) not in catalogue.FUNCTIONS


def is_reserved(name: str) -> bool:
    """Tell whether a name belongs to a built-in function."""
    return catalogue.function_of(name) in catalogue.FUNCTIONS
