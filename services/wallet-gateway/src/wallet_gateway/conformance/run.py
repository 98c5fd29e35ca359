"""A run of the kit: find the wallet to work with, judge every rule, leave the balance as it was."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import MalformedAnswerError, WellKnown, parse_well_known
from shared.ewp.signing_keys import HmacKey
from wallet_gateway.conformance.bench import Account, Bench
from wallet_gateway.conformance.catalogue import RULES
from wallet_gateway.conformance.peer import Peer
from wallet_gateway.conformance.rule import Judgement, NotApplicableError, Rule, RuleBrokenError, Verdict

FLOAT_MINOR_UNITS = 1000
_CONNECTIONS_MAX = 64


class CannotJudgeError(Exception):
    """The run could not begin: the text says what is missing, and how to provide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The wallet system to judge, and the wallet in it whose money may be moved."""

    base_url: str
    key_id: str
    api_key: str
    owner_ref: str
    wallet_id: str | None = None
    response_signatures: Literal["required", "optional"] = "optional"
    timeout_seconds: float = 10.0
    allowed_cidrs: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How each rule ended, in order, and the wallet whose money was moved."""

    account: Account
    judgements: Sequence[Judgement]


async def judge(target: Target, *, rules: Sequence[Rule] = RULES) -> Finished:
    """Judge a wallet system by these rules; raises CannotJudgeError."""
    policy = AddressPolicy(target.allowed_cidrs)
    async with await EgressClient.open(policy, connections_max=_CONNECTIONS_MAX) as egress:
        peer = Peer(
            egress=egress,
            base_url=target.base_url.rstrip("/"),
            key=HmacKey.of_text(target.key_id, target.api_key),
            timeout_seconds=target.timeout_seconds,
        )
        bench = Bench(
            peer=peer,
            account=await _account(peer, target),
            well_known=await _well_known(peer),
            run_id=f"conf-{secrets.token_hex(6)}",
            response_signatures=target.response_signatures,
        )
        before = await _with_float(bench)
        try:
            return Finished(account=bench.account, judgements=await _judged(bench, rules))
        finally:
            await _restore(bench, before)


async def _judged(bench: Bench, rules: Sequence[Rule]) -> list[Judgement]:
    judgements: dict[str, Judgement] = {}
    for rule in rules:
        started = time.perf_counter()
        judgements[rule.name] = await _judge(rule, bench, judgements, started)
    return list(judgements.values())


async def _judge(rule: Rule, bench: Bench, judgements: dict[str, Judgement], started: float) -> Judgement:
    for needed in rule.needs:
        ended = judgements.get(needed.name)
        if ended is not None and ended.verdict != "passed":
            same: Verdict = "not applicable" if ended.verdict == "not applicable" else "not judged"
            return Judgement(rule=rule, verdict=same, detail=f"rests on {needed.name}, which is {ended.verdict}")
    verdict: Verdict = "passed"
    detail = ""
    try:
        await rule.check(bench)
    except RuleBrokenError as broken:
        verdict, detail = "failed", str(broken)
    except NotApplicableError as reason:
        verdict, detail = "not applicable", str(reason)
    return Judgement(rule=rule, verdict=verdict, detail=detail, duration_seconds=time.perf_counter() - started)


async def _account(peer: Peer, target: Target) -> Account:
    """Find the wallet whose money may be moved: the one that is named, else the owner's first."""
    how = f"Open a wallet for a test owner and name both: --owner-ref {target.owner_ref} --wallet-id …"
    try:
        reply = await peer.call("POST", "/v1/balances:query", {"owner_refs": [target.owner_ref]})
        wallets = reply.expect(200).json()["data"]
        named = [each for each in wallets if target.wallet_id in {None, each["wallet_id"]}]
        if not named:
            raise CannotJudgeError(f"The owner {target.owner_ref!r} has no such wallet here. {how}")
        first = named[0]
        return Account(
            wallet_id=first["wallet_id"], owner_ref=first["owner_ref"], currency=first["currency"], scale=first["scale"]
        )
    except RuleBrokenError as error:
        raise CannotJudgeError(f"The wallets of {target.owner_ref!r} could not be asked for. {error}") from error
    except (KeyError, TypeError) as error:
        raise CannotJudgeError("POST /v1/balances:query does not answer in its documented form.") from error


async def _well_known(peer: Peer) -> WellKnown:
    """Return what the wallet says of itself; a document that is not of its form is a rule's affair, and counts as the usual."""
    try:
        return parse_well_known((await peer.call("GET", "/.well-known/external-wallet")).body)
    except (RuleBrokenError, MalformedAnswerError):
        return WellKnown(versions=["ewp/1"], currencies=[], holds=True, retention_days=0, feed=True)


async def _with_float(bench: Bench) -> Decimal:
    """Return the ledger as it is, after crediting what the rules need."""
    try:
        before = (await bench.balance()).ledger
        await bench.done(bench.new_id(), bench.order(op="credit", minor_units=FLOAT_MINOR_UNITS))
    except RuleBrokenError as error:
        raise CannotJudgeError(f"The wallet {bench.account.wallet_id!r} cannot be credited. {error}") from error
    return before


async def _restore(bench: Bench, before: Decimal) -> None:
    """Take back what the run has left, as far as the wallet lets it."""
    try:
        extra = int(((await bench.balance()).available - before).scaleb(bench.account.scale))
        if extra:
            order = bench.order(op="debit" if extra > 0 else "credit", minor_units=abs(extra))
            await bench.put(bench.new_id(), order)
    except RuleBrokenError:
        return
