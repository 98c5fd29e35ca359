"""Entries that wait for their turn take a bounded room."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from webhook_dispatcher.intake.turns import WAITING_BYTES_MAX, WAITING_MAX, Turns


class _PendingElsewhere(Redis):
    """A queue in which an entry is with another worker as long as ``oldest`` is set."""

    oldest: bytes | None = b"1-0"

    async def xpending_range(self, *_: Any, **__: Any) -> Sequence[dict[str, bytes]]:
        return [{"message_id": self.oldest}] if self.oldest else []


async def _waiting(entries: Sequence[bytes]) -> tuple[Turns, _PendingElsewhere]:
    queue = _PendingElsewhere()
    turns = Turns(queue, stream="s", group="g")
    for number, body in enumerate(entries, start=2):
        entry = (f"{number}-0".encode(), {b"event": body})
        assert not await turns.have_come([entry], batch=[entry])
        # Taken over again, as by its own worker after a while: it is the same one.
        assert not await turns.have_come([entry], batch=[entry])
    return turns, queue


async def test_many_small_entries_fill_it() -> None:
    """By their number."""
    turns, _ = await _waiting([b"{}"] * (WAITING_MAX - 1))
    assert not turns.is_full
    turns, _ = await _waiting([b"{}"] * WAITING_MAX)
    assert turns.is_full


async def test_a_few_large_entries_fill_it_until_they_are_taken() -> None:
    """By their bytes, each counted once; all of them are free again once their turn has come."""
    large = bytes(1 << 20)
    turns, queue = await _waiting([large] * (WAITING_BYTES_MAX // len(large) - 1))
    assert not turns.is_full
    turns, queue = await _waiting([large] * (WAITING_BYTES_MAX // len(large)))
    assert turns.is_full
    queue.oldest = None
    assert len(await turns.take()) == WAITING_BYTES_MAX // len(large)
    assert not turns.is_full
