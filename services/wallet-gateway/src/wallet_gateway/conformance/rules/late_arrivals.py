"""What arrives in another order than it was sent: the tombstone."""

import asyncio

from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import demand, rule
from wallet_gateway.conformance.rules.transfers import debit_leaves


@rule("What an integrator's server implements")
async def cancel_of_an_unknown_id_is_recorded(bench: Bench) -> None:
    """A cancel of an id that was never seen is a 200 `cancelled` with `op`, `amount` and `currency` null; a GET shows it."""
    transfer_id = bench.new_id()
    for state in (await bench.cancel(transfer_id), await bench.get(transfer_id)):
        demand(state.state == "cancelled", f"an id that was cancelled before it was seen is {state.told}")
        named = (state.op, state.amount, state.currency)
        demand(named == (None, None, None), f"the tombstone has op, amount and currency {named} instead of null")


@rule("A transfer", needs=[cancel_of_an_unknown_id_is_recorded])
async def order_after_its_cancel_is_refused(bench: Bench) -> None:
    """An order that arrives after its cancel is a 200 `cancelled` and moves nothing, then and later."""
    transfer_id, order = bench.new_id(), bench.order()
    await bench.cancel(transfer_id)
    before = await bench.balance()
    for call in ("the order", "the order again"):
        state = await bench.put(transfer_id, order)
        demand(state.state == "cancelled", f"{call}, after its cancel, became {state.told}")
    if bench.well_known.holds:
        state = await bench.commit(transfer_id)
        demand(state.state == "cancelled", f"a commit after all that answered {state.told}")
    await bench.demand_moved(before)


@rule("What an integrator's server implements", needs=[order_after_its_cancel_is_refused])
async def commit_of_an_unknown_id_is_recorded(bench: Bench) -> None:
    """A commit of an id that was never seen is a 200 `cancelled`, and the order that arrives later moves nothing."""
    transfer_id, order = bench.new_id(), bench.order()
    before = await bench.balance()
    for call, state in (
        ("the commit", await bench.commit(transfer_id)),
        ("the order after it", await bench.put(transfer_id, order)),
    ):
        demand(state.state == "cancelled", f"{call}, of an id that was never seen, answered {state.told}")
    await bench.demand_moved(before)


@rule("A transfer", needs=[debit_leaves])
async def order_after_not_found_is_carried_out_once(bench: Bench) -> None:
    """An order that arrives after a GET said 404 is carried out, once: the 404 was not final."""
    transfer_id, order = bench.new_id(), bench.order()
    (await bench.peer.call("GET", f"/v1/transfers/{transfer_id}")).expect(404)
    before = await bench.balance()
    states = [await bench.put(transfer_id, order), await bench.put(transfer_id, order)]
    demand({state.state for state in states} == {"committed"}, f"the order became {states[-1].told}")
    await bench.demand_moved(before, ledger=-1)


@rule("What an integrator's server implements")
async def order_after_its_time_is_rejected(bench: Bench) -> None:
    """A transfer that is first seen after its `not_after` is rejected with `expired`, and moves nothing."""
    before = await bench.balance()
    state = await bench.put(bench.new_id(), bench.order(seconds=-30))
    demand((state.state, state.error_code) == ("rejected", "expired"), f"an order of 30 s ago became {state.told}")
    await bench.demand_moved(before)


@rule("A transfer", needs=[order_after_its_cancel_is_refused])
async def order_and_cancel_at_once_agree(bench: Bench) -> None:
    """An order and its cancel at the same moment end in one state, and the money agrees with it."""
    bench.need_holds()
    before = await bench.balance()
    for _ in range(5):
        transfer_id, order = bench.new_id(), bench.order(mode="hold")
        _, cancelled = await asyncio.gather(bench.put(transfer_id, order), bench.cancel(transfer_id))
        demand(cancelled.state == "cancelled", f"the cancel of an order at the same moment answered {cancelled.told}")
        state = await bench.put(transfer_id, order)
        demand(state.state == "cancelled", f"the order, sent again after its cancel, answered {state.told}")
    await bench.demand_moved(before)
