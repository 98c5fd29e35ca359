"""The same id for ever: one effect, one content, one end."""

import asyncio

from shared.ewp.fields import format_time, parse_time
from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import demand, rule
from wallet_gateway.conformance.rules.transfers import commit_takes_what_is_held, debit_leaves, hold_sets_money_aside

# Long enough to arrive in time, since the kit's clock and the wallet's may differ a little.
_SHORT_SECONDS = 2.0
_A_LITTLE_LATER_SECONDS = 0.2


@rule("A transfer", needs=[debit_leaves])
async def repeated_order_has_one_effect(bench: Bench) -> None:
    """The same id with the same content answers the present state, and moves nothing again."""
    transfer_id, order = bench.new_id(), bench.order()
    first = await bench.done(transfer_id, order)
    before = await bench.balance()
    again = await bench.put(transfer_id, order)
    demand(again.state == first.state, f"a {first.told} transfer, ordered again, answered {again.told}")
    await bench.demand_moved(before)


@rule("A transfer", needs=[commit_takes_what_is_held])
async def repeated_commit_has_one_effect(bench: Bench) -> None:
    """A commit that is sent again answers `committed`, and moves nothing again."""
    transfer_id = await bench.held()
    await bench.commit(transfer_id)
    before = await bench.balance()
    again = await bench.commit(transfer_id)
    demand(again.state == "committed", f"a committed transfer, committed again, answered {again.told}")
    await bench.demand_moved(before)


@rule("What an integrator's server implements", needs=[debit_leaves])
async def other_content_is_a_conflict(bench: Bench) -> None:
    """The same id with another amount or operation is a 409 `idempotency_mismatch`, and moves nothing."""
    transfer_id, order = bench.new_id(), bench.order()
    await bench.done(transfer_id, order)
    before = await bench.balance()
    for other in ({"amount": bench.money(2)}, {"op": "credit"}):
        reply = await bench.peer.call("PUT", f"/v1/transfers/{transfer_id}", {**order, **other})
        code = reply.expect(409).json().get("code")
        demand(code == "idempotency_mismatch", f"the 409 has the code {code!r} instead of idempotency_mismatch")
    await bench.demand_moved(before)


@rule("What an integrator's server implements", needs=[other_content_is_a_conflict])
async def not_after_is_content(bench: Bench) -> None:
    """The same id with another `not_after` is a 409 too."""
    transfer_id, order = bench.new_id(), bench.order()
    await bench.done(transfer_id, order)
    later = format_time(parse_time(bench.order(seconds=3600)["not_after"]))
    (await bench.peer.call("PUT", f"/v1/transfers/{transfer_id}", {**order, "not_after": later})).expect(409)


@rule("A transfer", needs=[debit_leaves])
async def a_rejection_stays(bench: Bench) -> None:
    """An id that was rejected stays rejected, also when the order could be carried out by now."""
    funds = await bench.balance()
    too_much = int(funds.available.scaleb(bench.account.scale)) + 1
    transfer_id, order = bench.new_id(), bench.order(minor_units=too_much)
    first = await bench.put(transfer_id, order)
    demand(first.state == "rejected", f"a debit of more than there is became {first.told}")
    await bench.done(bench.new_id(), bench.order(op="credit", minor_units=5))
    before = await bench.balance()
    again = await bench.put(transfer_id, order)
    demand(again.state == "rejected", f"a rejected transfer, ordered again with enough money, answered {again.told}")
    await bench.demand_moved(before)
    await bench.done(bench.new_id(), bench.order(minor_units=5))


@rule("What an integrator's server implements", needs=[hold_sets_money_aside])
async def not_after_does_not_end_a_hold(bench: Bench) -> None:
    """A hold is committed also after its `not_after`: that is about when the order is first seen."""
    transfer_id = await bench.held(seconds=_SHORT_SECONDS)
    await asyncio.sleep(_SHORT_SECONDS + _A_LITTLE_LATER_SECONDS)
    state = await bench.commit(transfer_id)
    demand(state.state == "committed", f"a hold, committed after its not_after, answered {state.told}")
