"""What a run came to. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wallet_gateway.conformance.rule import Judgement, Verdict

VERDICTS: Final[tuple[Verdict, ...]] = ("passed", "failed", "not judged", "not applicable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run against one wallet."""

    base_url: str
    wallet_id: str
    started_at: str
    judgements: Sequence[Judgement]

    def count(self, verdict: Verdict) -> int:
        """Return how many rules ended so."""
        return Counter(judgement.verdict for judgement in self.judgements)[verdict]

    @property
    def conforms(self) -> bool:
        """Tell whether the wallet keeps every rule that is about it."""
        return self.count("passed") > 0 and self.count("failed") == 0 and self.count("not judged") == 0

    @property
    def told(self) -> str:
        """Return the result in one sentence."""
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in VERDICTS if self.count(verdict))
        verdict = "The wallet conforms to ewp/1" if self.conforms else "The wallet does not conform to ewp/1"
        return f"{verdict}: {counts}."
