"""What a rule is, and how one ends."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from wallet_gateway.conformance.bench import Bench

Section = Literal[
    "What an integrator's server implements",
    "Money",
    "Signatures",
    "A transfer",
]
"""The section of the protocol's page that a rule proves."""
Verdict = Literal["passed", "failed", "not applicable", "not judged"]
Check = Callable[["Bench"], Awaitable[None]]


class RuleBrokenError(Exception):
    """The wallet does not keep a rule; the text says what was expected and what came."""


class NotApplicableError(Exception):
    """The rule is about something that this wallet does not have, and need not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. ``needs`` are rules without which this one says nothing: it is not judged unless they passed."""

    name: str
    topic: str
    title: str
    section: Section
    check: Check
    needs: Sequence["Rule"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a rule ended, why, and how long it took."""

    rule: Rule
    verdict: Verdict
    detail: str = ""
    duration_seconds: float = 0.0


def rule(section: Section, *, needs: Sequence[Rule] = ()) -> Callable[[Check], Rule]:
    """Make a function a rule: its name is the rule's, its docstring's first line says what must hold."""

    def made(check: Check) -> Rule:
        title = (check.__doc__ or "").strip().partition("\n")[0]
        topic = check.__module__.rpartition(".")[2]
        return Rule(name=check.__name__, topic=topic, title=title, section=section, check=check, needs=tuple(needs))

    return made


def demand(holds: bool, detail: str) -> None:  # noqa: FBT001 - reads as a sentence: demand(x == y, "…")
    """Raise RuleBrokenError with ``detail`` unless something holds."""
    if not holds:
        raise RuleBrokenError(detail)
