"""Which webhooks to claim for now, and how much: the pump's choices, apart from its I/O. Pure state.

A webhook that has reached its limit is set aside until one of its own requests ends, and none takes more slots or bytes than it
leaves (``room``), so that a hanging destination holds its own share and nothing of the others'. Retries, of a webhook and of the
whole worker, have a share of their own: however many are due at once, what is sent for the first time finds its slots.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from webhook_dispatcher.lanes.destinations import Destination, Destinations
from webhook_dispatcher.lanes.repository import Claimed, Limit
from webhook_dispatcher.lanes.room import Room

CLAIM_MAX = 128
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
"""Payloads in flight at once; what one claim brings beyond that goes back unsent."""


class Selection:
    """See the module. ``serves`` tells whether a webhook's lane is ours."""

    def __init__(
        self, *, slots: int, retry_share: float, destinations: Destinations, serves: Callable[[UUID], bool]
    ) -> None:
        self._slots = slots
        self._retry_share = retry_share
        self._destinations = destinations
        self._serves = serves
        self._hinted: dict[UUID, None] = {}
        self._set_aside: set[UUID] = set()
        self._retries_wait: dict[UUID, None] = {}

    def hint(self, webhooks: Iterable[UUID]) -> None:
        """Look at these webhooks, where their lanes are ours and no open breaker holds what they have."""
        for webhook_id in webhooks:
            if self._serves(webhook_id) and not self._destinations.is_held(webhook_id):
                self._hinted[webhook_id] = None

    def has_work(self) -> bool:
        """Tell whether a claim may find something at once."""
        return bool(self._hinted) or (bool(self._retries_wait) and self._retry_room() > 0)

    def choose(self, wake_in: Callable[[UUID, float], None]) -> dict[UUID, Limit]:
        """Share what is free over the webhooks with work; ``wake_in`` is told those that their own rate makes wait."""
        room, retry_room = self._room(), self._retry_room()
        free_slots = min(room.slots, CLAIM_MAX)
        limits: dict[UUID, Limit] = {}
        too_many: list[UUID] = []
        if free_slots <= 0:
            return limits
        for webhook_id in list(self._retries_wait)[: max(0, retry_room)]:
            del self._retries_wait[webhook_id]
            self._hinted[webhook_id] = None
        share = max(1, free_slots // max(1, len(self._hinted)))
        for webhook_id in list(self._hinted):
            if free_slots <= 0:
                break
            del self._hinted[webhook_id]
            if not self._serves(webhook_id) or self._destinations.is_held(webhook_id):
                continue
            free = self._destinations.free(webhook_id)
            if free == 0:
                self._set_aside_until_free(webhook_id, wake_in)
                continue
            destination = self._destinations.get(webhook_id)
            fair = room.fits(destination.held, size_bytes=destination.size_bytes)
            if fair == 0:
                too_many.append(webhook_id)
                continue
            count = min(free, share, free_slots, fair)
            retries = max(0, min(self._retries_of(destination, count), self._own_retry_room(destination), retry_room))
            limits[webhook_id] = Limit(count=count, retries=retries, revision=destination.revision)
            free_slots -= count
            retry_room -= retries
            room.take(slots=count, payload_bytes=count * destination.size_bytes)
        self._hinted.update(dict.fromkeys(too_many))
        return limits

    def keep(self, claimed: Sequence[Claimed], limits: dict[UUID, Limit]) -> list[Claimed]:
        """Note what a claim brought, and return what may be sent; the rest, the newest of each webhook, must go back.

        That is what larger payloads than foreseen leave no room for, and what a breaker that opened meanwhile holds.
        """
        batches: defaultdict[UUID, list[Claimed]] = defaultdict(list)
        for item in sorted(claimed, key=lambda item: item.id):
            batches[item.webhook_id].append(item)
        kept: list[Claimed] = []
        for webhook_id, limit in limits.items():
            batch, destination = batches[webhook_id], self._destinations.get(webhook_id)
            fitting = 0
            if batch:
                sizes = [len(item.payload) for item in batch]
                self._destinations.claimed(webhook_id, sizes)
                fitting = self._room().count_fitting(destination.held, sizes_bytes=sizes)
                if destination.breaker.is_open:
                    fitting = min(fitting, 1 if destination.probe_due else 0)
                self._destinations.started(webhook_id, sizes[:fitting], retries=_retries(batch[:fitting]))
                kept += batch[:fitting]
            self._note_what_is_left(destination, limit, batch)
        return kept

    def ended(self, claimed: Claimed) -> None:
        """Note that a request has ended: what waited for it is looked at again."""
        webhook_id, retry = claimed.webhook_id, claimed.failures > 0
        self._destinations.ended(webhook_id, len(claimed.payload), retry=retry)
        destination = self._destinations.get(webhook_id)
        if webhook_id in self._set_aside or (retry and destination.retries_wait):
            self._set_aside.discard(webhook_id)
            destination.retries_wait = False
            self._hinted[webhook_id] = None

    def _note_what_is_left(self, destination: Destination, limit: Limit, batch: Sequence[Claimed]) -> None:
        """See that a webhook is looked at again when there may be more than it was asked for."""
        retries = _retries(batch)
        was_turn_of_retries = destination.turn_of_retries
        if limit.count == 1 and batch:
            destination.turn_of_retries = retries == 0
        if batch and (len(batch) == limit.count or batch[0].webhook_revision != limit.revision):
            self._hinted[destination.webhook_id] = None
        elif retries < limit.retries:
            self._destinations.ran_dry(destination.webhook_id)
        elif limit.count == 1 and not was_turn_of_retries:
            destination.turn_of_retries = True
            self._hinted[destination.webhook_id] = None
        elif self._own_retry_room(destination) <= 0:
            destination.retries_wait = True
        elif self._retry_room() <= 0:
            self._retries_wait[destination.webhook_id] = None
        else:
            self._hinted[destination.webhook_id] = None

    def _room(self) -> Room:
        held = self._destinations.held
        return Room(slots=self._slots - held.slots, payload_bytes=PAYLOAD_BYTES_MAX - held.payload_bytes)

    def _retry_room(self) -> int:
        """Return how many more retries the worker may have in flight."""
        return max(1, int(self._slots * self._retry_share)) - self._destinations.held.retries

    def _retries_of(self, destination: Destination, count: int) -> int:
        """Return how many of ``count`` slots retries may take; of one slot they and first attempts take turns.

        What is in flight says too little: where others leave a webhook few slots at a time, retries alone would fill each claim.
        """
        if destination.breaker.is_open:
            return 1
        if count == 1:
            return 1 if destination.turn_of_retries else 0
        return max(1, int(count * self._retry_share))

    def _own_retry_room(self, destination: Destination) -> int:
        """Return how many more retries a webhook may have in flight."""
        if destination.breaker.is_open:
            return 1
        limit = destination.limit(self._destinations.first_limit)
        return max(1, int(limit * self._retry_share)) - destination.held.retries

    def _set_aside_until_free(self, webhook_id: UUID, wake_in: Callable[[UUID, float], None]) -> None:
        pace_seconds = self._destinations.pace_seconds(webhook_id)
        if pace_seconds is not None:
            wake_in(webhook_id, pace_seconds)
        else:
            self._set_aside.add(webhook_id)


def _retries(batch: Sequence[Claimed]) -> int:
    return sum(item.failures > 0 for item in batch)
