"""Calls about one wallet system that are carried out in one transaction, each decided after the one before it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from reference_wallet.transfers.answers import shown_amount
from reference_wallet.transfers.errors import TransferContentDiffers
from reference_wallet.transfers.rules import Change, Holds, Order, Transfer, Wallet, WalletRules

Action = Literal["put", "commit", "cancel", "lapse"]
"""``lapse`` ends a hold whose time is up, and changes nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One call. ``order`` and ``holds`` belong to a put."""

    action: Action
    transfer_id: str
    order: Order | None = None
    holds: Holds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One change of state, with the transfer and the wallet it is about as they are after it."""

    change: Change
    transfer: Transfer
    wallet: Wallet | None


class Batch:
    """What the calls see and leave: transfers and wallets as they are locked, and the newest ``seq`` of the system."""

    def __init__(
        self,
        rules: WalletRules,
        *,
        transfers: Mapping[str, Transfer],
        wallets: Mapping[str, Wallet],
        latest_seq: int,
        now: datetime,
    ) -> None:
        self._rules = rules
        self._transfers = dict(transfers)
        self._wallets = dict(wallets)
        self._now = now
        self.latest_seq = latest_seq
        self.written: list[Written] = []

    def carry_out(self, wanted: Wanted) -> Transfer | None:
        """Return the transfer as it is after a call (None: unknown, and only to lapse); raises TransferContentDiffers."""
        known = self._transfers.get(wanted.transfer_id)
        if wanted.action == "put":
            return self._put(wanted, known)
        if known is None:
            return None if wanted.action == "lapse" else self._write(self._rules.never_seen(), wanted.transfer_id, None)
        if wanted.action == "commit":
            change = self._rules.committed(known, self._wallet_of(known.order), self._now)
        elif wanted.action == "cancel":
            change = self._rules.cancelled(known, self._now)
        else:
            change = self._rules.expired(known, self._now)
        return known if change is None else self._write(change, known.transfer_id, known.order)

    def _put(self, wanted: Wanted, known: Transfer | None) -> Transfer:
        assert wanted.order is not None
        assert wanted.holds is not None
        if known is None:
            wallet = self._wallet_of(wanted.order)
            change = self._rules.first_seen(wanted.order, wallet, wanted.holds, self._now)
            return self._write(change, wanted.transfer_id, wanted.order)
        lapsed = self._rules.expired(known, self._now)
        if lapsed is not None:
            known = self._write(lapsed, known.transfer_id, known.order)
        # A tombstone has no content that could differ: whatever comes late is cancelled.
        if known.order is not None and not self._rules.same_content(known.order, wanted.order):
            raise TransferContentDiffers
        return known

    def _wallet_of(self, order: Order | None) -> Wallet | None:
        return self._wallets.get(order.wallet_id) if order is not None else None

    def _write(self, change: Change, transfer_id: str, order: Order | None) -> Transfer:
        wallet = self._wallet_after(change, order)
        balance_after = None
        if change.state == "committed" and wallet is not None:
            balance_after = shown_amount(wallet.ledger, wallet.scale)
        self.latest_seq = self._next_seq()
        after = Transfer(
            transfer_id=transfer_id,
            order=order,
            state=change.state,
            error_code=change.error_code,
            error_detail=change.error_detail,
            wallet_txn_id=change.wallet_txn_id,
            balance_after=balance_after,
            hold_expires_at=change.hold_expires_at,
            seq=self.latest_seq,
        )
        self._transfers[transfer_id] = after
        self.written.append(Written(change=change, transfer=after, wallet=wallet))
        return after

    def _next_seq(self) -> int:
        return self.latest_seq + 1

    def _wallet_after(self, change: Change, order: Order | None) -> Wallet | None:
        """Return the wallet after a change; the calls that follow in this batch meet it like this."""
        wallet = self._wallet_of(order)
        if wallet is None or not (change.ledger_delta or change.held_delta):
            return wallet
        after = replace(wallet, ledger=wallet.ledger + change.ledger_delta, held=wallet.held + change.held_delta)
        self._wallets[wallet.wallet_id] = after
        return after
