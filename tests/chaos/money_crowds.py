"""Fifty transfers at one moment out of one account that can pay for nine of them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from chaos.money_wallets import ACCOUNTS, CROWD_ACCOUNTS, CROWD_PLACES, OWNER, SYSTEMS, System

SIZE = 50
AMOUNT = Decimal("10.00")
PAYABLE = 9
_FOR_EACH = 1000
"""How many other transfers there are for each crowd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """``after``: how many transfers have begun before; then ``is_due`` is set. ``bodies`` are asked for, by number."""

    system: System
    account: str
    after: int
    bodies: Mapping[int, dict[str, Any]]
    is_due: asyncio.Event = field(default_factory=asyncio.Event)


def crowds_of(random: Random, *, ids: Mapping[System, str], total: int) -> Iterator[Crowd]:
    """Give the crowds of a run of ``total`` other transfers, each at an account of its own, spread over the run."""
    places = [(system, account) for account in CROWD_ACCOUNTS for system in CROWD_PLACES]
    random.shuffle(places)
    count = min(max(total // _FOR_EACH, 1), len(places))
    for number, (system, account) in enumerate(places[:count]):
        first = total + number * SIZE
        yield Crowd(
            system=system,
            account=account,
            after=total * (number + 1) // (count + 2),
            bodies={first + each: _body(random, system, account, ids=ids) for each in range(SIZE)},
        )


def _body(random: Random, system: System, account: str, *, ids: Mapping[System, str]) -> dict[str, Any]:
    # One that is being restored would keep its part of a crowd waiting.
    target = random.choice([each for each in SYSTEMS if each is not system and not each.is_restored])
    letter, count, _ = ACCOUNTS["USD"]
    return {
        "owner_ref": OWNER,
        "source": {"wallet": ids[system], "account": account},
        "target": {"wallet": ids[target], "account": f"{letter}{random.randrange(count)}"},
        "currency": "USD",
        "amount": str(AMOUNT),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What became of a crowd: ``outcomes`` are the statuses, of a failed one its code; ``spent`` is what left the account."""

    account: str
    outcomes: Sequence[str]
    spent: Decimal


def judge_crowd(paid: Paid) -> Iterator[str]:
    """Give what is wrong with a crowd whose transfers have ended.

    Nobody is refused for want of money while less than nine have it, and who has it either completes or gives it back.
    """
    completed, refused = paid.outcomes.count("completed"), paid.outcomes.count("insufficient_funds")
    if completed > PAYABLE:
        yield f"(4) {paid.account} could pay for {PAYABLE}, and {completed} are completed"
    if len(paid.outcomes) - refused < PAYABLE:
        yield f"(4) {paid.account} could pay for {PAYABLE}, and {refused} of {len(paid.outcomes)} were refused"
    if paid.spent != completed * AMOUNT:
        yield f"(3) {completed} of {paid.account} are completed, and it has paid {paid.spent}"
