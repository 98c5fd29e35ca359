"""Reference wallets with one rule of the protocol broken each, to show that the conformance kit notices.

A wallet is broken by other ``WalletRules``, or by one function that is replaced while it is served.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from sqlalchemy import text

from reference_wallet.discovery import service as discovery
from reference_wallet.signed_calls import callers, route
from reference_wallet.transfers import repository, schemas
from reference_wallet.transfers.batch import Batch, Wanted
from reference_wallet.transfers.rules import Change, Holds, Order, Transfer, Wallet, WalletRules
from shared.ewp import signatures


class RoundsAmounts(WalletRules):
    """Rounds what has too many decimals, instead of rejecting it."""

    def refusal(self, order: Order, wallet: Wallet | None, now: datetime) -> Change | None:
        scale = Decimal(1).scaleb(-(wallet.scale if wallet else 2))
        return super().refusal(replace(order, amount=order.amount.quantize(scale, ROUND_HALF_EVEN)), wallet, now)


class ForgetsNotAfter(WalletRules):
    """Carries out what is first seen after its time."""

    def refusal(self, order: Order, wallet: Wallet | None, now: datetime) -> Change | None:
        return super().refusal(replace(order, not_after=now + timedelta(seconds=1)), wallet, now)


class EndsHoldsAtNotAfter(WalletRules):
    """Takes an order's ``not_after`` for the end of its hold."""

    def committed(self, transfer: Transfer, wallet: Wallet | None, now: datetime) -> Change | None:
        if transfer.state == "held" and transfer.order is not None and now > transfer.order.not_after:
            return self.released(transfer, code="expired", detail="too late")
        return super().committed(transfer, wallet, now)


class CommitsWhatWasCancelled(WalletRules):
    """Lets a commit win over an earlier cancel."""

    def committed(self, transfer: Transfer, wallet: Wallet | None, now: datetime) -> Change | None:
        if transfer.state == "cancelled" and transfer.order is not None:
            return Change(state="committed", wallet_txn_id=transfer.wallet_txn_id)
        return super().committed(transfer, wallet, now)


class UndoesCommits(WalletRules):
    """Lets a late cancel take back what was committed."""

    def cancelled(self, transfer: Transfer, now: datetime) -> Change | None:
        if transfer.state == "committed":
            return Change(state="cancelled", error_code="cancelled", wallet_txn_id=transfer.wallet_txn_id)
        return super().cancelled(transfer, now)


class TakesOtherAmounts(WalletRules):
    """Answers an id that is known, whatever comes under it."""

    def same_content(self, known: Order, sent: Order) -> bool:  # noqa: ARG002 - that is what is broken
        return True


class TakesOtherTimes(WalletRules):
    """Does not look at ``not_after`` when an id is known."""

    def same_content(self, known: Order, sent: Order) -> bool:
        return super().same_content(known, replace(sent, not_after=known.not_after))


class ServesAnyOwner(WalletRules):
    """Does not look whose wallet it is."""

    def refusal(self, order: Order, wallet: Wallet | None, now: datetime) -> Change | None:
        return super().refusal(replace(order, owner_ref=wallet.owner_ref) if wallet else order, wallet, now)


class TellsHoldEnds(WalletRules):
    """Tells an end of holds that do not end."""

    def first_seen(self, order: Order, wallet: Wallet | None, holds: Holds, now: datetime) -> Change:
        change = super().first_seen(order, wallet, holds, now)
        return replace(change, hold_expires_at=now + timedelta(days=1)) if change.state == "held" else change


def _no_nonces(patch: pytest.MonkeyPatch) -> None:
    async def use_nonce(*_args: object) -> None:
        """Remember nothing."""

    patch.setattr(callers.Callers, "_use_nonce", use_nonce)


def _any_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signatures, "_check_time", lambda *_args, **_fields: None)
    # What the kit itself verifies with is the same function: it looks at the answers' times no more, which are right.


def _no_digests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signatures, "check_content_digest", lambda _value, _body: None)


def _any_cover(patch: pytest.MonkeyPatch) -> None:
    check = signatures._check_cover

    def only_what_is_there(signature: Any, _demanded: object, **fields: Any) -> None:
        check(signature, signature.components, **fields)

    patch.setattr(signatures, "_check_cover", only_what_is_there)


def _unbound_answers(patch: pytest.MonkeyPatch) -> None:
    sign = signatures.sign_response

    def sign_for_another(*args: Any, **fields: Any) -> dict[str, str]:
        return sign(*args, **{**fields, "request_signature": "sig1=:AAAA:"})

    patch.setattr(route, "sign_response", sign_for_another)


def _numbers_as_amounts(patch: pytest.MonkeyPatch) -> None:
    strict = schemas.OrderBody.model_validate

    def lenient(fields: Any, **options: Any) -> schemas.OrderBody:
        amount = fields.get("amount") if isinstance(fields, dict) else None
        if amount is not None and not isinstance(amount, str | bool | list) and "e" not in str(amount):
            fields = {**fields, "amount": str(amount)}
        return strict(fields, **options)

    patch.setattr(schemas.OrderBody, "model_validate", lenient)


def _feed_with_gaps(patch: pytest.MonkeyPatch) -> None:
    page = repository.feed_page

    async def with_gaps(*args: Any, **fields: Any) -> repository.FeedPage:
        shown = await page(*args, **fields)
        entries = [entry for entry in shown.entries if entry["state"] != "rejected"]
        return replace(shown, entries=entries)

    patch.setattr(repository, "feed_page", with_gaps)


def _numbered_by_twos(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "_next_seq", lambda batch: batch.latest_seq + 2)


def _end_of_the_feed_unknown(patch: pytest.MonkeyPatch) -> None:
    page = repository.feed_page

    async def echoing(*args: Any, after_seq: int, **fields: Any) -> repository.FeedPage:
        shown = await page(*args, after_seq=after_seq, **fields)
        return replace(shown, latest_seq=max(shown.latest_seq, after_seq))

    patch.setattr(repository, "feed_page", echoing)


def _unlocked_wallets(patch: pytest.MonkeyPatch) -> None:
    """Decide about calls of the same moment as if each were alone, and write the balance without looking at it again."""
    money_after = Batch._wallet_after

    def forgotten(batch: Batch, change: Change, order: Order | None) -> Wallet | None:
        before = dict(batch._wallets)
        after = money_after(batch, change, order)
        batch._wallets.update(before)
        return after

    patch.setattr(Batch, "_wallet_after", forgotten)
    unlocked = repository._APPLY.text.replace(
        "ledger = w.ledger + moved.ledger_delta", "ledger = greatest(w.ledger + moved.ledger_delta, 0)"
    )
    patch.setattr(repository, "_APPLY", text(unlocked))


def _forgotten_tombstones(patch: pytest.MonkeyPatch) -> None:
    carry_out = Batch.carry_out

    def over_tombstones(batch: Batch, wanted: Wanted) -> Transfer | None:
        known = batch._transfers.get(wanted.transfer_id)
        if wanted.action == "put" and known is not None and known.order is None:
            del batch._transfers[wanted.transfer_id]
        return carry_out(batch, wanted)

    patch.setattr(Batch, "carry_out", over_tombstones)
    # The tombstone has no content: what comes over it brings its own.
    content = "op, mode, wallet_id, owner_ref, amount, currency, not_after, reference"
    written = ", ".join(f"{name} = excluded.{name}" for name in content.split(", "))
    over = repository._APPLY.text.replace("DO UPDATE SET state", f"DO UPDATE SET {written}, state")
    patch.setattr(repository, "_APPLY", text(over))


def _forgotten_commits(patch: pytest.MonkeyPatch) -> None:
    carry_out = Batch.carry_out

    def unrecorded(batch: Batch, wanted: Wanted) -> Transfer | None:
        is_known = wanted.transfer_id in batch._transfers
        answer = carry_out(batch, wanted)
        if wanted.action == "commit" and not is_known:
            del batch._transfers[wanted.transfer_id]
            batch.written.pop()
            batch.latest_seq -= 1
        return answer

    patch.setattr(Batch, "carry_out", unrecorded)


def _known_for_two_days(patch: pytest.MonkeyPatch) -> None:
    described = discovery.described

    async def forgetful(*args: Any) -> dict[str, Any]:
        return {**await described(*args), "retention_days": 2}

    patch.setattr("reference_wallet.discovery.routes.described", forgetful)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenWallet:
    """How a wallet is broken, and the rules of the kit that say so: exactly these."""

    breaks: frozenset[str]
    rules: type[WalletRules] = WalletRules
    patch: Callable[[pytest.MonkeyPatch], None] = lambda _patch: None


def _by(*names: str, rules: type[WalletRules] = WalletRules, patch: Any = lambda _patch: None) -> BrokenWallet:
    return BrokenWallet(breaks=frozenset(names), rules=rules, patch=patch)


BROKEN_WALLETS: Mapping[str, BrokenWallet] = {
    "rounds amounts": _by("too_many_decimals_are_rejected", rules=RoundsAmounts),
    "forgets not_after": _by("order_after_its_time_is_rejected", rules=ForgetsNotAfter),
    "ends holds at not_after": _by("not_after_does_not_end_a_hold", rules=EndsHoldsAtNotAfter),
    "commits what was cancelled": _by("commit_after_cancel_changes_nothing", rules=CommitsWhatWasCancelled),
    "undoes commits": _by("cancel_after_commit_changes_nothing", rules=UndoesCommits),
    "takes other amounts under an id": _by("other_content_is_a_conflict", rules=TakesOtherAmounts),
    "takes other times under an id": _by("not_after_is_content", rules=TakesOtherTimes),
    "serves any owner": _by("wallet_of_another_owner_is_rejected", rules=ServesAnyOwner),
    "tells ends of holds": _by("holds_that_end_say_so", rules=TellsHoldEnds),
    "forgets tombstones": _by("order_after_its_cancel_is_refused", patch=_forgotten_tombstones),
    "forgets commits of unknown ids": _by("commit_of_an_unknown_id_is_recorded", patch=_forgotten_commits),
    "forgets ids after two days": _by("ids_are_known_long_enough", patch=_known_for_two_days),
    "takes a nonce twice": _by("a_nonce_counts_once", patch=_no_nonces),
    "takes any time": _by("old_and_future_signatures_are_refused", patch=_any_time),
    "looks at no digest": _by("altered_bodies_are_refused", patch=_no_digests),
    "takes a signature over less": _by("every_component_has_to_be_signed", patch=_any_cover),
    "signs answers to other requests": _by("answers_are_signed_and_bound_to_their_request", patch=_unbound_answers),
    "takes numbers for amounts": _by("numbers_are_no_amounts", patch=_numbers_as_amounts),
    "leaves rejections out of the feed": _by("feed_has_every_change_in_order", patch=_feed_with_gaps),
    "counts seq by twos": _by("feed_has_no_gap", patch=_numbered_by_twos),
    "does not know where its feed ends": _by("beyond_its_end_the_feed_is_empty", patch=_end_of_the_feed_unknown),
    "does not lock wallets": _by("parallel_debits_never_overdraw", patch=_unlocked_wallets),
}
