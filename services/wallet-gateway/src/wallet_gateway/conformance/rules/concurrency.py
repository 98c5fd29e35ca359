"""Many calls at the same moment."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal

from wallet_gateway.conformance.bench import Bench, State
from wallet_gateway.conformance.rule import NotApplicableError, demand, rule
from wallet_gateway.conformance.rules.idempotency import repeated_order_has_one_effect
from wallet_gateway.conformance.rules.refusals import more_than_there_is_is_rejected
from wallet_gateway.conformance.rules.transfers import (
    cancel_after_commit_changes_nothing,
    commit_after_cancel_changes_nothing,
)

_DEBITS = 50
_FITTING = 10
_SAME_ORDERS = 20
_RACES = 10


@rule("A transfer", needs=[more_than_there_is_is_rejected])
async def parallel_debits_never_overdraw(bench: Bench) -> None:
    """Of fifty debits of a tenth of the balance at the same moment, ten are committed and the others are rejected."""
    before = await bench.balance()
    tenth = int(before.available.scaleb(bench.account.scale)) // _FITTING
    if tenth == 0:
        raise NotApplicableError("the wallet has less than ten of its currency's smallest unit")
    ids = [bench.new_id() for _ in range(_DEBITS)]
    states = await asyncio.gather(*(bench.put(each, bench.order(minor_units=tenth)) for each in ids))
    after = await bench.balance()
    committed = [state for state in states if state.state == "committed"]
    await bench.done(bench.new_id(), bench.order(op="credit", minor_units=max(1, tenth * len(committed))))
    refused = {state.told for state in states if state.state != "committed"}
    demand(after.available >= 0, f"{len(committed)} of {_DEBITS} debits were committed, and the wallet is overdrawn")
    demand(refused <= {"rejected (insufficient_funds)"}, f"debits became {sorted(refused)}")
    demand(len(committed) == _FITTING, f"{len(committed)} debits of a tenth of the balance were committed")
    took = before.ledger - after.ledger
    wanted = Decimal(tenth * len(committed)).scaleb(-bench.account.scale)
    demand(took == wanted, f"the debits took {took} instead of {wanted}")


@rule("A transfer", needs=[repeated_order_has_one_effect])
async def same_order_at_once_has_one_effect(bench: Bench) -> None:
    """Twenty equal orders at the same moment are answered alike and move the money once."""
    before = await bench.balance()
    transfer_id, order = bench.new_id(), bench.order()
    states = await asyncio.gather(*(bench.put(transfer_id, order) for _ in range(_SAME_ORDERS)))
    demand({state.state for state in states} == {"committed"}, f"equal orders became {_several(states)}")
    await bench.demand_moved(before, ledger=-1)


@rule("A transfer", needs=[commit_after_cancel_changes_nothing, cancel_after_commit_changes_nothing])
async def of_commit_and_cancel_at_once_one_wins(bench: Bench) -> None:
    """A commit and a cancel at the same moment answer the same state, and the money agrees with it."""
    for _ in range(_RACES):
        before = await bench.balance()
        transfer_id = await bench.held()
        states = await asyncio.gather(bench.commit(transfer_id), bench.cancel(transfer_id))
        demand(len({state.state for state in states}) == 1, f"commit and cancel answered {_several(states)}")
        await bench.demand_moved(before, ledger=-1 if states[0].state == "committed" else 0)


def _several(states: Iterable[State]) -> str:
    return " and ".join(sorted({state.told for state in states}))
