"""What can be made to go wrong, and when. Pure: a rule, and the plan that chooses one for a call."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Operation = Literal["balances_query", "balance", "put", "commit", "cancel", "get", "feed"]

#: What happens to the call itself.
CallFault = Literal[
    "delay",  # wait delay_ms
    "drop",  # cut the connection without an answer
    "late",  # cut the connection now, and carry the call out after delay_ms
    "status",  # answer `status` (500) as a problem
    "html",  # answer `status` (502) as a proxy would, with an HTML page
]
#: What is wrong with the answer's content; its signature is good.
ContentFault = Literal[
    "empty",  # no body at all
    "repeat_true",  # {"repeat":true}
    "wrong_id",
    "wrong_amount",
    "wrong_currency",
    "wrong_state",  # a state that the protocol does not know
    "number_amount",  # the amount as a JSON number
    "nan",  # the amount NaN
    "huge_number",  # the amount 1e400
    "duplicate_keys",  # every field twice, the first time with null
    "deep_json",  # nested 100 000 levels deep
]
#: What is wrong with the signature of an answer whose content is good.
SignatureFault = Literal["no_signature", "bad_signature", "replayed_signature", "old_signature", "altered_body"]
#: What is wrong with how the answer is sent.
SendingFault = Literal[
    "truncated",  # half of the body, then the connection ends
    "drip",  # one byte each delay_ms
    "endless",  # a body that does not end
    "gzip_bomb",  # a small body that unpacks to 1 GiB
]
FaultKind = CallFault | ContentFault | SignatureFault | SendingFault

COUNT_MAX = 1_000_000
_DELAY_MS_MAX = 600_000


class FaultRule(BaseModel):
    """One kind of fault for some calls: for the next ``count`` of them, each with ``probability``.

    ``when`` says whether a ``delay``, ``drop``, ``status`` or ``html`` comes before the call was carried out or after it; every
    other fault comes after.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: FaultKind
    operations: Annotated[list[Operation], Field(max_length=16)] = []
    """Empty: all of them."""
    transfer_id: str | None = None
    """Only calls about this transfer."""
    when: Literal["before", "after"] = "after"
    count: Annotated[int | None, Field(ge=1, le=COUNT_MAX)] = 1
    """None: until it is taken away."""
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int | None = None
    """Makes the choice by probability the same in each run with the same calls."""
    delay_ms: Annotated[int, Field(ge=0, le=_DELAY_MS_MAX)] = 1000
    status: Annotated[int, Field(ge=200, le=599)] | None = None


@dataclass(slots=True)
class ArmedRule:
    """A rule with what is left of it."""

    id: UUID
    system_id: UUID
    rule: FaultRule
    fired: int = 0
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.rule.seed)  # noqa: S311 - a reproducible choice, not a secret

    @property
    def is_used_up(self) -> bool:
        return self.rule.count is not None and self.fired >= self.rule.count

    def matches(self, *, system_id: UUID, operation: Operation, transfer_id: str | None) -> bool:
        """Tell whether the rule is about this call."""
        rule = self.rule
        return (
            self.system_id == system_id
            and (not rule.operations or operation in rule.operations)
            and rule.transfer_id in {None, transfer_id}
        )


class FaultPlan:
    """The rules of this process. For each call the first one that fits and has its chance fires."""

    def __init__(self) -> None:
        self._armed: dict[UUID, ArmedRule] = {}

    def arm(self, armed: ArmedRule) -> None:
        """Take a rule; it stands behind those there are."""
        self._armed[armed.id] = armed

    def disarm(self, *, system_id: UUID) -> None:
        """Take away all rules of a system."""
        self._armed = {key: armed for key, armed in self._armed.items() if armed.system_id != system_id}

    def of_system(self, system_id: UUID) -> Sequence[ArmedRule]:
        """Return the rules of a system."""
        return [armed for armed in self._armed.values() if armed.system_id == system_id]

    def choose(self, *, system_id: UUID, operation: Operation, transfer_id: str | None) -> FaultRule | None:
        """Return what goes wrong with a call, and count it."""
        for armed in self._armed.values():
            if armed.is_used_up or not armed.matches(system_id=system_id, operation=operation, transfer_id=transfer_id):
                continue
            if armed.chance.random() < armed.rule.probability:
                armed.fired += 1
                return armed.rule
        return None
