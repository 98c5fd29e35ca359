"""Reading balances."""

from typing import Any

from shared.ewp.messages import MalformedAnswerError, parse_balance
from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import RuleBrokenError, demand, rule

_QUERY = "/v1/balances:query"
_PAGES_MAX = 50


@rule("What an integrator's server implements")
async def balance_has_its_form_and_adds_up(bench: Bench) -> None:
    """A balance has every field at its currency's scale, and `available` is `ledger` less `held`."""
    account = bench.account
    reply = (await bench.peer.call("GET", f"/v1/wallets/{account.wallet_id}/balance")).expect(200)
    try:
        balance = parse_balance(reply.body)
    except MalformedAnswerError as error:
        raise RuleBrokenError(str(error)) from error
    told = (balance.wallet_id, balance.owner_ref, balance.currency, balance.scale)
    asked = (account.wallet_id, account.owner_ref, account.currency, account.scale)
    demand(told == asked, f"the answer is about {told} instead of {asked}")
    demand(balance.available == balance.ledger - balance.held, "available is not ledger less held")


@rule("What an integrator's server implements")
async def query_gives_the_owners_wallets(bench: Bench) -> None:
    """A query gives every wallet of the owners that it names, and only theirs, each once over all pages."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"owner_refs": [bench.account.owner_ref], "limit": 1}
    for _ in range(_PAGES_MAX):
        page = (await bench.peer.call("POST", _QUERY, query)).expect(200).json()
        demand(isinstance(page, dict) and isinstance(page.get("data"), list), f"{_QUERY}: no object with data")
        demand(len(page["data"]) <= 1, f"limit is 1, and {len(page['data'])} wallets came")
        found += page["data"]
        if page.get("next_cursor") is None:
            break
        query["cursor"] = page["next_cursor"]
    ids = [wallet.get("wallet_id") for wallet in found]
    demand(bench.account.wallet_id in ids, f"the owner's wallet {bench.account.wallet_id} is not among {ids}")
    demand(len(set(ids)) == len(ids), "a wallet came on two pages")
    owners = {wallet.get("owner_ref") for wallet in found}
    demand(owners == {bench.account.owner_ref}, "wallets of other owners came")


@rule("What an integrator's server implements", needs=[query_gives_the_owners_wallets])
async def query_by_currency_gives_no_other(bench: Bench) -> None:
    """A query with `currency` gives wallets in that currency only."""
    query = {"owner_refs": [bench.account.owner_ref], "currency": bench.account.currency}
    page = (await bench.peer.call("POST", _QUERY, query)).expect(200).json()
    currencies = {wallet.get("currency") for wallet in page["data"]}
    demand(currencies == {bench.account.currency}, f"wallets in {sorted(map(str, currencies))} came")
