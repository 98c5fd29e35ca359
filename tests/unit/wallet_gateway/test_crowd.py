"""How many transfers of a worker are at each wallet."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from wallet_gateway.transfers.crowd import Crowd

WALLETS = [UUID(int=number) for number in range(3)]
TRANSFERS = [UUID(int=number) for number in range(100, 106)]


@given(st.lists(st.tuples(st.sampled_from(TRANSFERS), st.sampled_from([*WALLETS, None])), max_size=60))
def test_each_transfer_is_at_one_wallet(moves: list[tuple[UUID, UUID | None]]) -> None:
    """Whatever comes, goes and moves on, the counts are those of who is there, and room is told of when there is some again."""
    told: list[None] = []
    crowd = Crowd(2, lambda: told.append(None))
    where: dict[UUID, UUID] = {}
    used_up: set[UUID] = set()
    for transfer_id, wallet_id in moves:
        told_before = len(told)
        if wallet_id is None:
            crowd.leave(transfer_id, fence=1)
            where.pop(transfer_id, None)
        else:
            crowd.enter(transfer_id, fence=1, place=wallet_id)
            where[transfer_id] = wallet_id
        expected = {wallet: list(where.values()).count(wallet) for wallet in set(where.values())}
        full = {wallet for wallet, count in expected.items() if count >= 2}
        taken = crowd.taken()
        assert (taken.most, taken.counts, set(taken.full)) == (2, expected, full)
        assert (len(told) > told_before) == bool(used_up - full)
        used_up = full


def test_a_transfer_that_was_claimed_again_is_counted_under_each_fence() -> None:
    """The task of the fence before may still be ending: what it leaves is its own place."""
    crowd = Crowd(5, lambda: None)
    transfer_id = uuid4()
    crowd.enter(transfer_id, fence=1, place=WALLETS[0])
    crowd.enter(transfer_id, fence=2, place=WALLETS[0])
    crowd.leave(transfer_id, fence=1)
    assert crowd.taken().counts == {WALLETS[0]: 1}
    crowd.leave(transfer_id, fence=2)
    assert crowd.taken().counts == {}
