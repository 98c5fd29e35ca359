"""The questions to credentials that are under way, and what they show: once it did not answer, nobody else waits for that.

The first to ask wait for their time limit. From then on credentials is *lost*, until any question gets an answer, whatever it
says. Meanwhile one question at a time is under way, the trial; those that need an answer wait for it for a moment at most.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2

from shared.access.jwt import AccessToken
from shared.access.memory import Answer
from shared.principals import AccessUnavailableError, Address

FRESH_SECONDS = 0.5
"""How long a question under way may be shared by the requests that need its answer, and how long a denial is remembered."""
PATIENCE_SECONDS = 0.25
"""How long, while credentials is lost, a request waits for the trial, counted from when that was asked."""
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request needs to know."""

    fingerprint: bytes
    credential: str
    ip: Address | None
    scope: str
    token: AccessToken | None


@dataclass(slots=True)
class _Question:
    fingerprint: bytes
    answer: asyncio.Task[Answer]
    asked_at: float


class Questions:
    """Begins questions by ``ask``, lets requests share them, and watches how they end."""

    def __init__(
        self, ask: Callable[[Asked], Coroutine[Any, Any, Answer]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._under_way: dict[bytes, _Question] = {}
        self._trial: _Question | None = None
        self._answered_at = float("-inf")
        self.is_lost = False
        """Whether the newest that is known of credentials is that it does not answer."""

    async def answer(self, asked: Asked) -> Answer:
        """Return credentials' answer, or raise what the question raised; AccessUnavailableError at once while it is lost."""
        question = await self._after_trial(asked) if self.is_lost else self._of(asked)
        return await asyncio.shield(question.answer)

    def ask_beside(self, asked: Asked) -> None:
        """Ask without waiting; while credentials is lost, only if nothing is under way: more would only pile up."""
        if not self.is_lost or self._trial is None:
            self._of(asked)

    def under_way(self) -> Sequence[asyncio.Task[Answer]]:
        """Return what is being asked."""
        return [question.answer for question in self._under_way.values()]

    async def aclose(self) -> None:
        """End all that is under way."""
        tasks = self.under_way()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _after_trial(self, asked: Asked) -> _Question:
        trial = self._trial or self._of(asked)
        patience = PATIENCE_SECONDS - (self._clock() - trial.asked_at)
        await asyncio.wait({trial.answer}, timeout=max(0.0, patience))
        if self.is_lost:
            raise AccessUnavailableError
        return trial if trial.fingerprint == asked.fingerprint else self._of(asked)

    def _of(self, asked: Asked) -> _Question:
        """Return the question under way, if it is a fresh one, or begin one."""
        question = self._under_way.get(asked.fingerprint)
        if question is None or self._clock() - question.asked_at >= FRESH_SECONDS:
            question = _Question(asked.fingerprint, asyncio.create_task(self._ask(asked)), self._clock())
            self._under_way[asked.fingerprint] = question
            question.answer.add_done_callback(partial(self._ended, question))
        if self.is_lost and self._trial is None:
            self._trial = question
        return question

    def _ended(self, question: _Question, task: asyncio.Task[Answer]) -> None:
        if self._under_way.get(question.fingerprint) is question:
            del self._under_way[question.fingerprint]
        if self._trial is question:
            self._trial = None
        if task.cancelled():
            return
        # Whoever waited for it, or nobody: how it ended is news for all. One older than the newest answer says nothing.
        exc = task.exception()
        if _is_answer(exc):
            self._answered_at = self._clock()
            self.is_lost = False
        elif isinstance(exc, httpx2.HTTPError) and question.asked_at >= self._answered_at:
            self.is_lost = True


def _is_answer(exc: BaseException | None) -> bool:
    """Tell whether credentials answered at all; AccessUnavailableError stands for answers that were overtaken."""
    if isinstance(exc, httpx2.HTTPStatusError):
        return exc.response.status_code < _SERVER_ERROR
    return exc is None or isinstance(exc, AccessUnavailableError)
