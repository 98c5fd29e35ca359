"""Work at hand is bounded in bytes, not in pieces alone."""

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.principals import Realm
from shared.problems import ServiceUnavailable
from webhook_dispatcher.events.byte_budget import STEP_BYTES, ByteBudget
from webhook_dispatcher.intake.entries import Entry, size_of, slices


def _entry(size: int) -> Entry:
    return (b"1-1", {b"event": b"x" * size})


@given(sizes=st.lists(st.integers(min_value=0, max_value=50)), bytes_max=st.integers(min_value=1, max_value=100))
def test_slices_keep_every_entry_in_order_and_within_the_limit(sizes: list[int], bytes_max: int) -> None:
    """Nothing is lost or reordered; a slice is over the limit only when it is one entry that is so by itself."""
    entries = [_entry(size) for size in sizes]
    cut = list(slices(entries, bytes_max=bytes_max))
    assert [entry for part in cut for entry in part] == entries
    for part in cut:
        assert len(part) == 1 or sum(size_of(entry) for entry in part) <= bytes_max


KIB = 1024
ONE, OTHER = (Realm(tenant_id=UUID(int=number), environment="live") for number in (1, 2))


def _budget(shared_kib: int, *, wait_seconds_max: float = 5.0) -> ByteBudget:
    """Return a budget with this room beside that for one body of 256 KiB."""
    return ByteBudget((shared_kib + 256) * KIB, body_bytes_max=256 * KIB, wait_seconds_max=wait_seconds_max)


async def test_an_upload_that_has_sent_nothing_holds_nothing() -> None:
    """Bytes are taken as they arrive, in steps, and given back at the end."""
    budget = _budget(512)
    async with budget.share(ONE) as share:
        assert budget.used_bytes == 0
        await share.grow(1)
        assert budget.used_bytes == STEP_BYTES
        await share.grow(STEP_BYTES)
        assert budget.used_bytes == STEP_BYTES
        await share.grow(STEP_BYTES + 1)
        assert budget.used_bytes == 2 * STEP_BYTES
    assert budget.used_bytes == 0


async def test_who_finds_no_room_waits_until_bytes_are_given_back() -> None:
    """And goes on at once then."""
    budget = _budget(128)
    async with budget.share(OTHER) as set_apart, budget.share(ONE) as second:
        async with budget.share(ONE) as first:
            await first.grow(128 * KIB)
            await set_apart.grow(64 * KIB)  # no room beside the first: it grows in the room set apart
            growing = asyncio.create_task(second.grow(64 * KIB))
            await asyncio.sleep(0.01)
            assert not growing.done()
        async with asyncio.timeout(1):
            await growing


async def test_the_wait_has_an_end() -> None:
    """503 with Retry-After; nothing stays held."""
    budget = _budget(64, wait_seconds_max=0.05)
    async with budget.share(ONE) as first, budget.share(ONE) as second, budget.share(OTHER) as third:
        await first.grow(64 * KIB)
        await second.grow(64 * KIB)
        with pytest.raises(ServiceUnavailable) as refused:
            await third.grow(1)
        assert refused.value.headers["Retry-After"] == "5"
    assert budget.used_bytes == 0


async def test_one_realm_gets_half_at_most() -> None:
    """Beside the one body that grows in the room set apart; the rest is for others."""
    budget = _budget(768, wait_seconds_max=0.05)
    async with budget.share(ONE) as first, budget.share(ONE) as set_apart, budget.share(ONE) as third:
        await first.grow(512 * KIB)
        await set_apart.grow(256 * KIB)
        with pytest.raises(ServiceUnavailable):
            await third.grow(1)
        async with budget.share(OTHER) as other:
            await other.grow(256 * KIB)


async def test_bodies_that_grow_side_by_side_all_come_to_their_end() -> None:
    """Whatever room there is, and never more than it is held."""
    budget = _budget(128)

    async def one_body(realm: Realm) -> None:
        async with budget.share(realm) as share:
            for size in range(0, 256 * KIB + 1, 32 * KIB):
                await share.grow(size)
                assert budget.used_bytes <= (128 + 256) * KIB
                await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await asyncio.gather(*(one_body(realm) for realm in (ONE, OTHER) * 10))
