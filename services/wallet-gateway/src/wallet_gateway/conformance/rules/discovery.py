"""What a wallet system says of itself."""

from shared.ewp.messages import MalformedAnswerError, parse_well_known
from shared.ewp.money import MoneyError, scale_of
from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.rule import RuleBrokenError, demand, rule

_TARGET = "/.well-known/external-wallet"
_RETENTION_DAYS_MIN = 3


@rule("What an integrator's server implements")
async def well_known_document_is_complete(bench: Bench) -> None:
    """The well-known document is a 200 of its form, and `versions` names `ewp/1`."""
    reply = (await bench.peer.call("GET", _TARGET)).expect(200)
    try:
        parse_well_known(reply.body)
    except MalformedAnswerError as error:
        raise RuleBrokenError(str(error)) from error


@rule("What an integrator's server implements", needs=[well_known_document_is_complete])
async def ids_are_known_long_enough(bench: Bench) -> None:
    """`retention_days` is 3 at least: an id that is forgotten earlier could be carried out twice."""
    days = bench.well_known.retention_days
    demand(days >= _RETENTION_DAYS_MIN, f"retention_days is {days}: no transfer is begun with such a wallet")


@rule("Money", needs=[well_known_document_is_complete])
async def currencies_have_their_own_scale(bench: Bench) -> None:
    """Each currency of ISO 4217 is listed with its own number of decimals, the tested wallet's among them."""
    listed = {currency.code: currency.scale for currency in bench.well_known.currencies}
    demand(bench.account.currency in listed, f"{bench.account.currency} is not listed, though there is a wallet in it")
    for code, scale in listed.items():
        try:
            known = scale_of(code)
        except MoneyError:
            continue
        demand(scale == known, f"{code} is listed with {scale} decimals instead of {known}")
