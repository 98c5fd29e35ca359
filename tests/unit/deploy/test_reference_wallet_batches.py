"""Calls to the reference wallet that share a transaction come to what each would have come to alone, one after another. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from hypothesis import example, given
from hypothesis import strategies as st

from reference_wallet.transfers.batch import Batch, Wanted
from reference_wallet.transfers.errors import TransferContentDiffers
from reference_wallet.transfers.rules import Holds, Order, Transfer, Wallet, WalletRules

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = ["t1", "t2", "t3", "t4"]


def _wallet(wallet_id: str) -> Wallet:
    return Wallet(
        wallet_id=wallet_id,
        owner_ref="o",
        currency="USD",
        scale=2,
        ledger=Decimal("10.00"),
        held=Decimal(0),
        frozen=False,
        transfer_max=None,
    )


orders = st.builds(
    Order,
    op=st.sampled_from(["credit", "debit"]),
    mode=st.sampled_from(["hold", "direct"]),
    wallet_id=st.sampled_from(["w1", "w2"]),
    owner_ref=st.just("o"),
    amount=st.sampled_from([Decimal("1.00"), Decimal("4.00"), Decimal("7.00")]),
    currency=st.just("USD"),
    not_after=st.sampled_from([NOW - timedelta(seconds=1), NOW + timedelta(seconds=60)]),
    reference=st.none(),
)
calls = st.one_of(
    st.builds(
        Wanted,
        action=st.just("put"),
        transfer_id=st.sampled_from(IDS),
        order=orders,
        holds=st.just(Holds(allowed=True, seconds=None)),
    ),
    st.builds(Wanted, action=st.sampled_from(["commit", "cancel", "lapse"]), transfer_id=st.sampled_from(IDS)),
)


class _Books:
    """What is committed."""

    def __init__(self) -> None:
        self.transfers: dict[str, Transfer] = {}
        self.wallets = {name: _wallet(name) for name in ("w1", "w2")}
        self.seq = 0

    def carry_out(self, wanted: list[Wanted]) -> list[Any]:
        """Carry calls out in one batch, and commit it as the repository does: by sums, and each transfer's newest state."""
        batch = Batch(WalletRules(), transfers=self.transfers, wallets=self.wallets, latest_seq=self.seq, now=NOW)
        answers: list[Any] = []
        for item in wanted:
            try:
                answers.append(_shown(batch.carry_out(item)))
            except TransferContentDiffers:
                answers.append("differs")
        for written in batch.written:
            self.transfers[written.transfer.transfer_id] = written.transfer
            if written.wallet is not None:
                before = self.wallets[written.wallet.wallet_id]
                self.wallets[before.wallet_id] = replace(
                    before,
                    ledger=before.ledger + written.change.ledger_delta,
                    held=before.held + written.change.held_delta,
                )
        assert [written.transfer.seq for written in batch.written] == list(range(self.seq + 1, batch.latest_seq + 1))
        self.seq = batch.latest_seq
        return answers


def _shown(transfer: Transfer | None) -> Any:
    # The wallet's own name of a movement is made anew each time.
    return None if transfer is None else replace(transfer, wallet_txn_id=None)


def _put(transfer_id: str, mode: Literal["hold", "direct"]) -> Wanted:
    order = Order(
        op="debit",
        mode=mode,
        wallet_id="w1",
        owner_ref="o",
        amount=Decimal("7.00"),
        currency="USD",
        not_after=NOW + timedelta(seconds=60),
        reference=None,
    )
    return Wanted(action="put", transfer_id=transfer_id, order=order, holds=Holds(allowed=True, seconds=None))


# Chance finds these in every other run alone: the second one must meet what the first one has left.
@example([_put("t1", "direct"), _put("t2", "direct")], [2])
@example([_put("t1", "hold"), _put("t2", "hold")], [2])
@example([_put("t1", "hold"), Wanted(action="cancel", transfer_id="t1"), _put("t2", "direct")], [3])
@given(st.lists(calls, max_size=12), st.lists(st.integers(1, 5), max_size=6))
def test_a_batch_comes_to_what_its_calls_come_to_alone(wanted: list[Wanted], sizes: list[int]) -> None:
    """However the calls are cut into batches: the same answers, states, balances and numbers, and nothing owed."""
    alone, together = _Books(), _Books()
    one_by_one = [answer for item in wanted for answer in alone.carry_out([item])]
    batched: list[Any] = []
    rest = wanted
    for size in [*sizes, max(1, len(wanted))]:
        batched += together.carry_out(rest[:size])
        rest = rest[size:]
    assert batched == one_by_one
    assert (together.wallets, together.seq) == (alone.wallets, alone.seq)
    assert {key: _shown(item) for key, item in together.transfers.items()} == {
        key: _shown(item) for key, item in alone.transfers.items()
    }
    for wallet in together.wallets.values():
        assert 0 <= wallet.held <= wallet.ledger
