"""The revocation feed as a sibling follows it: ``GET /v1/revocations`` of credentials, asked again as soon as it answered.

An answer covers all that was committed before its question was sent. So while the newest answer's question is younger than
``TRUST_SECONDS``, no revocation older than that is unknown here: what is remembered may be used. The feed waits
``HEARTBEAT_SECONDS`` for news before it answers with none, which leaves 0.35 s for two round trips before trust lapses.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import structlog

from shared import typeids
from shared.access.tombstones import Tombstones

HEARTBEAT_SECONDS = 0.2
TRUST_SECONDS = 0.75
_ANSWER_TIMEOUT_SECONDS = 0.5
_RETRY_SECONDS = 0.05

log = structlog.get_logger()


class FeedFollower:
    """Follows the feed over ``http``, a client of its own, so that a flood of questions cannot delay a heartbeat.

    ``drop`` is called with the kind and the id of each target and the sequence of its row, ``drop_all`` with the sequence up to
    which nothing is known. A kind is the prefix of ids.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        service: str,
        instance: str,
        drop: Callable[[str, UUID, int], None],
        drop_all: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._reporter = {"service": service, "instance": instance}
        self._drop = drop
        self._drop_all = drop_all
        self._clock = clock
        self.service = service
        self.applied: int | None = None
        """The sequence up to which every revocation has been applied; None before the first answer."""
        self.took_seconds: float | None = None
        """The newest revocation, from its transaction until it was applied here."""
        self.heard_at = float("-inf")
        """When the newest complete answer was asked for."""
        self.complete_since = float("inf")
        """Unix seconds: of revocations before this moment, nothing may be known here."""
        self.tombstones = Tombstones()

    def is_live(self) -> bool:
        """Tell whether no revocation older than ``TRUST_SECONDS`` can be unknown here."""
        return self._clock() - self.heard_at < TRUST_SECONDS

    async def follow(self) -> None:
        """Ask again and again until cancelled; while credentials does not answer, keep trying."""
        failing = heard = False
        while True:
            try:
                await self.ask()
                failing, heard = False, True
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
                if not failing:
                    # Services start side by side: one that was never heard yet is not lost, and readiness tells of it.
                    tell = log.warning if heard else log.info
                    tell("access.feed_lost", reason=type(exc).__name__)
                failing = True
                await asyncio.sleep(_RETRY_SECONDS)

    async def ask(self, *, wait_seconds: float = HEARTBEAT_SECONDS) -> None:
        """Ask once and apply the answer; raises httpx2.HTTPError, or ValueError, KeyError or TypeError for a strange one."""
        asked_at = self._clock()
        response = await self._http.get(
            "/v1/revocations", params=self._question(wait_seconds), timeout=wait_seconds + _ANSWER_TIMEOUT_SECONDS
        )
        answered_at = self._clock()
        response.raise_for_status()
        self._apply(response.json(), asked_at=asked_at, answered_at=answered_at)

    def _question(self, wait_seconds: float) -> dict[str, Any]:
        if self.applied is None:
            return {}
        took = {} if self.took_seconds is None else {"took_ms": round(self.took_seconds * 1000, 3)}
        wait_ms = round(wait_seconds * 1000)
        return {"after": self.applied, "wait_ms": wait_ms, "applied": self.applied, **took, **self._reporter}

    def _apply(self, answer: dict[str, Any], *, asked_at: float, answered_at: float) -> None:
        sequence, rows = int(answer["sequence"]), answer["data"]
        revoked = [(int(row["sequence"]), _target_of(row), float(row["age_ms"]) / 1000) for row in rows]
        is_gap = bool(revoked) and revoked[0][0] != (self.applied or 0) + 1
        if self.applied is None or sequence < self.applied or is_gap:
            # The first answer, or sequences that start anew after a restore: of what came before nothing is known here.
            self._drop_all(sequence)
            self.tombstones.clear(floor=sequence)
            self.applied, self.heard_at = sequence, asked_at
            self.complete_since = time.time()
            return
        for number, (kind, target), age_seconds in revoked:
            self.tombstones.bury(target, sequence=number)
            self._drop(kind, target, number)
            self.applied = number
            self.took_seconds = age_seconds + self._clock() - answered_at
        if self.applied == sequence:
            self.heard_at = asked_at


def _target_of(row: dict[str, Any]) -> tuple[str, UUID]:
    text = str(row["target_id"])
    kind = text.rpartition("_")[0]
    return kind, typeids.decode(kind, text)
