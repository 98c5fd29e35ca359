"""What a page of a wallet's feed proves, given how far it was read before. Pure.

The feed is gap-free: ``seq`` rises by exactly one with each change of state. Each page is asked for from the last entry that is
known, so that a feed that was rewritten shows, also when it has grown longer again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from shared.ewp.messages import FeedPage, TransferAnswer

PAGE_ENTRIES: Final = 200
ENTRIES_A_RUN: Final = 1_000_000
"""What one run reads. An honest wallet has so much that is new only at its first look, which then takes several runs."""
STRANGERS_MAX: Final = 5_000_000
"""Orders kept of one wallet that this gateway never gave: honest feeds have them from before it, or from another gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The last entry that was read; ``seq`` 0 for none. ``baseline_seq``: where it stood after the first scheduled look."""

    seq: int = 0
    step_id: str | None = None
    state: str | None = None
    baseline_seq: int | None = None

    @property
    def after_seq(self) -> int:
        """Return what to ask for: the last known entry comes again."""
        return max(0, self.seq - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regressed:
    """The feed went backwards, or says something else of the past: the wallet's records are not what they were."""

    latest_seq: int
    theirs: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Entries are missing, or out of order: the page proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """So much was read without an end, or is kept, that this run reads no further; ``code`` says which."""

    code: Literal["feed_too_long", "too_many_unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """New entries, in order, and whether there are more."""

    entries: Sequence[TransferAnswer]
    position: Position
    is_last: bool


def limit_reached(*, entries_read: int, strangers: int) -> Beyond | None:
    """Tell whether a run may read on that has read so many entries, of a wallet with so many orders that we never gave."""
    if strangers >= STRANGERS_MAX:
        return Beyond(code="too_many_unknown")
    return Beyond(code="feed_too_long") if entries_read >= ENTRIES_A_RUN else None


def judge(page: FeedPage, position: Position) -> Fresh | Regressed | Gap:
    """Return what a page, asked for with ``position.after_seq``, brings."""
    if page.latest_seq < position.seq:
        return Regressed(latest_seq=page.latest_seq, theirs={"latest_seq": page.latest_seq})
    entries = list(page.data)
    if position.seq:
        if not entries or entries[0].seq != position.seq:
            return Gap()
        known = entries.pop(0)
        if (known.transfer_id, known.state) != (position.step_id, position.state):
            theirs = {
                "latest_seq": page.latest_seq,
                "seq": known.seq,
                "step_id": known.transfer_id,
                "state": known.state,
            }
            return Regressed(latest_seq=page.latest_seq, theirs=theirs)
    return _fresh(entries, position, latest_seq=page.latest_seq)


def _fresh(entries: Sequence[TransferAnswer], position: Position, *, latest_seq: int) -> Fresh | Gap:
    """Return entries that follow the position without a gap, up to what the feed says that it has."""
    # A wallet may have forgotten what is older than its retention: the first entry ever read may have any number.
    start = entries[0].seq if entries and not position.seq else position.seq + 1
    is_whole = [entry.seq for entry in entries] == list(range(start, start + len(entries)))
    newest = entries[-1] if entries else None
    reached = newest.seq if newest else position.seq
    if not is_whole or reached > latest_seq or (newest is None and latest_seq > reached):
        return Gap()
    return Fresh(
        entries=entries,
        position=replace(position, seq=reached, step_id=newest.transfer_id, state=newest.state) if newest else position,
        is_last=reached == latest_seq,
    )
