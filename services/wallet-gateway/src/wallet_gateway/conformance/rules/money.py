"""Amounts: text of one form, at their currency's scale, never rounded."""

import orjson

from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import demand, rule

_SCALE_MAX = 8
_MALFORMED = (
    *("-1", "+1", " 1", "1 ", "01", "1.", ".5", "1e2", "1,00", "0x1", "NaN", "Infinity", "", "1.123456789", "1" * 19),
    "\uff11",  # a digit, but not one of ASCII
)
_NO_JSON = (b"NaN", b"Infinity", b"-Infinity")
_NO_TEXT = (b"1e400", b"true", b"null", b"[]")


async def _unseen_after(bench: Bench, transfer_id: str, what: str) -> None:
    reply = await bench.peer.call("GET", f"/v1/transfers/{transfer_id}")
    demand(reply.status == 404, f"{what} was refused, and yet the id is known")


@rule("Money")
async def amounts_of_another_form_are_malformed(bench: Bench) -> None:
    """Signs, spaces, leading zeros, exponents, other digits and too many of them are a 422, and leave no trace."""
    for text in _MALFORMED:
        transfer_id = bench.new_id()
        reply = await bench.peer.call("PUT", f"/v1/transfers/{transfer_id}", bench.order(amount=text))
        demand(reply.status == 422, f"the amount {text!r} was answered with {reply.status}")
        await _unseen_after(bench, transfer_id, f"the amount {text!r}")


@rule("Money")
async def numbers_are_no_amounts(bench: Bench) -> None:
    """An amount as a JSON number is a 422, also when it is a whole one."""
    for number in (1, 1.5):
        reply = await bench.peer.call("PUT", f"/v1/transfers/{bench.new_id()}", bench.order(amount=number))
        demand(reply.status == 422, f"the amount {number} (a number) was answered with {reply.status}")


@rule("Money")
async def what_is_no_amount_at_all_is_malformed(bench: Bench) -> None:
    """NaN, 1e400, booleans, null and lists in the place of an amount are a 422 (or a 400, where they are no JSON at all)."""
    for value in (*_NO_JSON, *_NO_TEXT):
        body = orjson.dumps(bench.order(amount="@")).replace(b'"@"', value)
        reply = await bench.peer.call("PUT", f"/v1/transfers/{bench.new_id()}", body=body)
        refused = reply.status in ({400, 422} if value in _NO_JSON else {422})
        demand(refused, f"the amount {value.decode()} was answered with {reply.status}")


@rule("Money")
async def too_many_decimals_are_rejected(bench: Bench) -> None:
    """An amount with more decimals than its currency has is rejected with `precision_exceeded`: nothing is rounded."""
    before = await bench.balance()
    decimals = min(bench.account.scale + 1, _SCALE_MAX)
    state = await bench.put(bench.new_id(), bench.order(amount=f"0.{'0' * (decimals - 1)}9"))
    demand(
        (state.state, state.error_code) == ("rejected", "precision_exceeded"),
        f"{decimals} decimals in {bench.account.currency} became {state.told}",
    )
    await bench.demand_moved(before)


@rule("What an integrator's server implements")
async def malformed_orders_are_refused(bench: Bench) -> None:
    """An order without one of its fields, or with an operation or mode that there is not, is a 422."""
    usual = bench.order()
    orders = [{key: value for key, value in usual.items() if key != left_out} for left_out in usual]
    orders += [{**usual, "op": "refund"}, {**usual, "mode": "later"}, {**usual, "not_after": "soon"}]
    for order in orders:
        reply = await bench.peer.call("PUT", f"/v1/transfers/{bench.new_id()}", order)
        demand(reply.status == 422, f"the order {order} was answered with {reply.status}")
