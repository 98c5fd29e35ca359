"""What each call of a transfer does, and what it does not."""

from shared.ewp.fields import parse_time
from shared.ewp.messages import MalformedAnswerError, parse_transfer_answer
from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import RuleBrokenError, demand, rule


@rule("A transfer")
async def credit_arrives(bench: Bench) -> None:
    """A direct credit is `committed` by its first answer, and the ledger is higher by exactly its amount."""
    before = await bench.balance()
    await bench.done(bench.new_id(), bench.order(op="credit", minor_units=3))
    await bench.demand_moved(before, ledger=3)


@rule("A transfer")
async def debit_leaves(bench: Bench) -> None:
    """A direct debit is `committed` by its first answer, and the ledger is lower by exactly its amount."""
    before = await bench.balance()
    await bench.done(bench.new_id(), bench.order(minor_units=3))
    await bench.demand_moved(before, ledger=-3)


@rule("A transfer")
async def hold_sets_money_aside(bench: Bench) -> None:
    """A hold leaves the ledger as it is and raises `held` by exactly its amount."""
    before = await bench.balance()
    transfer_id = await bench.held(minor_units=4)
    await bench.demand_moved(before, held=4)
    await bench.cancel(transfer_id)


@rule("A transfer", needs=[hold_sets_money_aside])
async def commit_takes_what_is_held(bench: Bench) -> None:
    """Committing a hold takes exactly what was held, out of `held` and out of the ledger."""
    before = await bench.balance()
    state = await bench.commit(await bench.held(minor_units=4))
    demand(state.state == "committed", f"a commit of what is held answered {state.told}")
    await bench.demand_moved(before, ledger=-4)


@rule("A transfer", needs=[hold_sets_money_aside])
async def cancel_gives_back_what_is_held(bench: Bench) -> None:
    """Cancelling a hold gives back exactly what was held."""
    before = await bench.balance()
    state = await bench.cancel(await bench.held(minor_units=4))
    demand(state.state == "cancelled", f"a cancel of what is held answered {state.told}")
    await bench.demand_moved(before)


@rule("A transfer", needs=[cancel_gives_back_what_is_held])
async def commit_after_cancel_changes_nothing(bench: Bench) -> None:
    """A commit that meets a cancelled transfer is a 200 with state `cancelled`, and moves nothing."""
    transfer_id = await bench.held()
    await bench.cancel(transfer_id)
    before = await bench.balance()
    state = await bench.commit(transfer_id)
    demand(state.state == "cancelled", f"a commit of a cancelled transfer answered {state.told}")
    await bench.demand_moved(before)


@rule("A transfer", needs=[commit_takes_what_is_held])
async def cancel_after_commit_changes_nothing(bench: Bench) -> None:
    """A cancel that meets a committed transfer is a 200 with state `committed`, and gives nothing back."""
    transfer_id = await bench.held()
    await bench.commit(transfer_id)
    before = await bench.balance()
    state = await bench.cancel(transfer_id)
    demand(state.state == "committed", f"a cancel of a committed transfer answered {state.told}")
    await bench.demand_moved(before)


@rule("What an integrator's server implements", needs=[debit_leaves])
async def answers_have_their_form_and_echo_the_order(bench: Bench) -> None:
    """An answer has every field of its form, and echoes the id, operation, amount and currency of the order."""
    transfer_id, order = bench.new_id(), bench.order(minor_units=2)
    reply = (await bench.peer.call("PUT", f"/v1/transfers/{transfer_id}", order)).expect(200)
    try:
        answer = parse_transfer_answer(reply.body)
    except MalformedAnswerError as error:
        raise RuleBrokenError(f"{reply.call}: {error}") from error
    told = (
        answer.transfer_id,
        answer.op,
        bench.money(int(answer.amount.scaleb(bench.account.scale))) if answer.amount else None,
    )
    demand(told == (transfer_id, order["op"], order["amount"]), f"the answer echoes {told}")
    demand(answer.currency == order["currency"], f"the answer echoes the currency {answer.currency}")


@rule("What an integrator's server implements", needs=[debit_leaves])
async def get_tells_the_present_state(bench: Bench) -> None:
    """A GET of a known id is a 200 with the state that the transfer is in."""
    transfer_id = bench.new_id()
    done = await bench.done(transfer_id, bench.order())
    state = await bench.get(transfer_id)
    demand(state.state == done.state, f"a GET of a {done.told} transfer answered {state.told}")


@rule("What an integrator's server implements")
async def get_of_an_unknown_id_is_a_404(bench: Bench) -> None:
    """A GET of an id that was never seen is a 404, and leaves no trace: the order that comes later is carried out."""
    transfer_id = bench.new_id()
    (await bench.peer.call("GET", f"/v1/transfers/{transfer_id}")).expect(404)
    await bench.done(transfer_id, bench.order())


@rule("What an integrator's server implements", needs=[hold_sets_money_aside])
async def holds_that_end_say_so(bench: Bench) -> None:
    """A hold has `hold_expires_at` exactly where the well-known document says `holds_expire: true`."""
    bench.need_holds()
    transfer_id = bench.new_id()
    held = await bench.done(transfer_id, bench.order(mode="hold"))
    await bench.cancel(transfer_id)
    told = held.content.get("hold_expires_at")
    says = bench.well_known.holds_expire
    demand((told is not None) == says, f"holds_expire is {str(says).lower()}, and hold_expires_at is {told!r}")
    if told is not None:
        try:
            parse_time(told)
        except ValueError as error:
            raise RuleBrokenError(f"hold_expires_at is no time: {error}") from error
