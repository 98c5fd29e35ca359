"""The definitive codes."""

from typing import Any

from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import demand, rule


async def _refused(bench: Bench, code: str, order: dict[str, Any]) -> None:
    before = await bench.balance()
    state = await bench.put(bench.new_id(), order)
    demand(
        (state.state, state.error_code) == ("rejected", code),
        f"the order became {state.told} instead of rejected ({code})",
    )
    await bench.demand_moved(before)


@rule("What an integrator's server implements")
async def more_than_there_is_is_rejected(bench: Bench) -> None:
    """A debit of more than is available is rejected with `insufficient_funds`, and moves nothing."""
    available = int((await bench.balance()).available.scaleb(bench.account.scale))
    await _refused(bench, "insufficient_funds", bench.order(minor_units=available + 1))


@rule("What an integrator's server implements")
async def unknown_wallet_is_rejected(bench: Bench) -> None:
    """An order about a wallet that does not exist is rejected with `wallet_not_found`."""
    await _refused(bench, "wallet_not_found", bench.order(wallet_id=f"no-such-wallet-{bench.run_id}"))


@rule("What an integrator's server implements")
async def wallet_of_another_owner_is_rejected(bench: Bench) -> None:
    """An order with another `owner_ref` than the wallet's is rejected with `wallet_not_found`."""
    await _refused(bench, "wallet_not_found", bench.order(owner_ref=f"no-such-owner-{bench.run_id}"))


@rule("What an integrator's server implements")
async def other_currency_is_rejected(bench: Bench) -> None:
    """An order in another currency than the wallet's is rejected with `currency_mismatch`."""
    other = "EUR" if bench.account.currency != "EUR" else "USD"
    await _refused(bench, "currency_mismatch", bench.order(currency=other, amount="1.00"))
