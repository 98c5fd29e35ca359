"""The feed: every change of state, once, without a gap."""

from typing import Any

from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import RuleBrokenError, demand, rule

_FAR = 1_000_000
_PAGE = 200


async def _changes(bench: Bench) -> tuple[int, list[tuple[str, str]]]:
    """Make changes of each kind; return the end of the feed before them and the transfers and states they have to show."""
    _, before = await bench.feed(after_seq=0, limit=1)
    made = []
    moved = bench.new_id()
    made.append((moved, (await bench.put(moved, bench.order())).state))
    refused = bench.new_id()
    made.append((refused, (await bench.put(refused, bench.order(seconds=-30))).state))
    tombstone = bench.new_id()
    made.append((tombstone, (await bench.cancel(tombstone)).state))
    if bench.well_known.holds:
        held = bench.new_id()
        made.append((held, (await bench.put(held, bench.order(mode="hold"))).state))
        made.append((held, (await bench.cancel(held)).state))
    # What is only asked for again changes nothing, and has no entry.
    await bench.cancel(tombstone)
    return before, made


@rule("What an integrator's server implements")
async def feed_has_every_change_in_order(bench: Bench) -> None:
    """Each change of state (moved, held, rejected, cancelled, tombstone) is one entry, in the order of the changes."""
    bench.need_feed()
    before, made = await _changes(bench)
    entries, _ = await bench.feed(after_seq=before, limit=_PAGE)
    mine = {transfer_id for transfer_id, _ in made}
    told = [(entry.get("transfer_id"), entry.get("state")) for entry in entries if entry.get("transfer_id") in mine]
    demand(told == made, f"the changes were {_states(made)}, and the feed tells {_states(told)}")


@rule("What an integrator's server implements", needs=[feed_has_every_change_in_order])
async def feed_has_no_gap(bench: Bench) -> None:
    """`seq` rises by exactly one from entry to entry, up to `latest_seq`."""
    bench.need_feed()
    before, _ = await _changes(bench)
    entries, latest = await bench.feed(after_seq=before, limit=_PAGE)
    found = [entry.get("seq") for entry in entries]
    wanted = list(range(before + 1, before + 1 + len(found)))
    demand(found == wanted, f"after {before} the entries have seq {found}")
    demand(len(found) == _PAGE or latest == found[-1], f"latest_seq is {latest}, and the last entry has {found[-1]}")


@rule("What an integrator's server implements")
async def answers_tell_their_seq(bench: Bench) -> None:
    """The `seq` of an answer is that of the feed's entry about the same change."""
    bench.need_feed()
    transfer_id = bench.new_id()
    state = await bench.put(transfer_id, bench.order())
    if state.seq < 1:
        raise RuleBrokenError("the answer to an order has no seq")
    entries, _ = await bench.feed(after_seq=state.seq - 1, limit=1)
    told = [(entry.get("transfer_id"), entry.get("seq")) for entry in entries]
    demand(told == [(transfer_id, state.seq)], f"the answer has seq {state.seq}, and the feed has {told} there")


@rule("What an integrator's server implements", needs=[feed_has_no_gap])
async def feed_goes_page_by_page(bench: Bench) -> None:
    """A page has at most `limit` entries, and the next one begins where it ended."""
    bench.need_feed()
    before, _ = await _changes(bench)
    first, _ = await bench.feed(after_seq=before, limit=2)
    demand(len(first) == 2, f"limit is 2, three changes follow, and {len(first)} entries came")
    last: Any = first[-1].get("seq")
    second, _ = await bench.feed(after_seq=last if isinstance(last, int) else before + 2, limit=1)
    both = await bench.feed(after_seq=before, limit=3)
    demand([*first, *second] == both[0], "two pages in a row tell something else than one page over both")


@rule("What an integrator's server implements")
async def beyond_its_end_the_feed_is_empty(bench: Bench) -> None:
    """Far beyond its end the feed has no entry, and `latest_seq` is true: that is how a restored backup shows."""
    bench.need_feed()
    await bench.put(bench.new_id(), bench.order())
    _, latest = await bench.feed(after_seq=0, limit=1)
    entries, told = await bench.feed(after_seq=latest + _FAR, limit=1)
    demand(entries == [], "entries came from beyond the end")
    demand(told == latest, f"beyond the end latest_seq is {told} instead of {latest}")


def _states(changes: list[tuple[Any, Any]]) -> str:
    return ", ".join(str(state) for _, state in changes) or "none"
