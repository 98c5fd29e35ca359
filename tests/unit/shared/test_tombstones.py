"""Which remembered answers a revocation voids."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.access.tombstones import Tombstones

TENANT, KEY, OTHER = (UUID(int=number) for number in (1, 2, 3))


def test_a_read_before_the_revocation_is_void_and_one_at_it_holds() -> None:
    """Sequence numbers alone decide, so an answer that was under way is recognised whenever it arrives."""
    tombstones = Tombstones()
    tombstones.bury(KEY, sequence=5)
    assert not tombstones.allow(KEY, TENANT, read_at=4)
    assert tombstones.allow(KEY, TENANT, read_at=5)
    assert tombstones.allow(OTHER, TENANT, read_at=0)


def test_a_tenants_suspension_voids_all_its_keys() -> None:
    """Either target is enough."""
    tombstones = Tombstones()
    tombstones.bury(TENANT, sequence=7)
    assert not tombstones.allow(KEY, TENANT, read_at=6)
    assert not tombstones.allow(OTHER, TENANT, read_at=6)
    assert tombstones.allow(OTHER, None, read_at=6)


@given(targets=st.lists(st.integers(1, 30), max_size=60), room=st.integers(1, 5))
def test_forgetting_never_revives(targets: list[int], room: int) -> None:
    """With whatever little room, a read older than a target's revocation is never allowed; and the room is kept."""
    tombstones = Tombstones(tombstones_max=room)
    newest: dict[UUID, int] = {}
    for sequence, number in enumerate(targets, start=1):
        tombstones.bury(UUID(int=number), sequence=sequence)
        newest[UUID(int=number)] = sequence
    for target, sequence in newest.items():
        assert not tombstones.allow(target, read_at=sequence - 1)
        assert tombstones.allow(target, read_at=len(targets))
    assert len(tombstones._sequences) <= room
