"""The conformance kit: the reference wallet keeps every rule, and a wallet that breaks one fails by exactly that one."""

from collections.abc import AsyncIterator
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest

from reference_wallet.transfers.rules import WalletRules
from support.broken_wallets import BROKEN_WALLETS
from support.databases import Databases
from support.reference_wallet import ReferenceWallet, WalletSystem, reference_wallet
from wallet_gateway.conformance.catalogue import RULES
from wallet_gateway.conformance.rule import Verdict
from wallet_gateway.conformance.run import CannotJudgeError, Target, judge

_LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def rules() -> WalletRules:
    """Return the rules by which the wallet decides, which a test may break for its time."""
    return WalletRules()


@pytest.fixture(scope="module")
async def wallet(databases: Databases, rules: WalletRules) -> AsyncIterator[ReferenceWallet]:
    """Return a served wallet."""
    async with reference_wallet(databases, rules=rules) as served:
        yield served


def target_of(wallet: ReferenceWallet, system: WalletSystem, **fields: object) -> Target:
    """Return what the kit is told about a wallet system."""
    usual = {
        "base_url": wallet.url,
        "key_id": system.key.key_id,
        "api_key": system.key.secret.decode(),
        "owner_ref": "conformance",
        "response_signatures": "required",
        "allowed_cidrs": _LOOPBACK,
    }
    return Target(**{**usual, **fields})  # type: ignore[arg-type]  # the dataclass checks the names


async def verdicts(wallet: ReferenceWallet, *, currency: str = "USD", **system_fields: Any) -> dict[str, Verdict]:
    """Judge a new system with an empty wallet; the wallet is empty afterwards, too."""
    system = await wallet.new_system(**system_fields)
    await system.open_wallet(owner_ref="conformance", balance="0", currency=currency)
    finished = await judge(target_of(wallet, system))
    broken = {each.rule.name: each.detail for each in finished.judgements if each.verdict == "failed"}
    print(broken)  # noqa: T201 - what a red test needs to say
    return {each.rule.name: each.verdict for each in finished.judgements}


def having(found: dict[str, Verdict], verdict: Verdict) -> set[str]:
    """Return the rules that ended so."""
    return {name for name, ended in found.items() if ended == verdict}


def resting_on(names: frozenset[str]) -> set[str]:
    """Return the rules that say nothing when these are broken; what a rule rests on stands before it."""
    resting: set[str] = set()
    for rule in RULES:
        if {needed.name for needed in rule.needs} & (names | resting):
            resting.add(rule.name)
    return resting


@pytest.mark.parametrize("currency", ["USD", "JPY", "BHD"])
async def test_the_reference_wallet_keeps_every_rule(wallet: ReferenceWallet, currency: str) -> None:
    """Every rule is judged and passed, in currencies of each scale, and the balance ends as it was."""
    system = await wallet.new_system()
    await system.open_wallet(owner_ref="conformance", balance="7", currency=currency)
    finished = await judge(target_of(wallet, system))
    assert {each.rule.name: each.detail for each in finished.judgements if each.verdict != "passed"} == {}
    assert len(finished.judgements) == len(RULES)
    assert Decimal((await system.caller.balance())["ledger"]) == 7


@pytest.mark.parametrize(
    ("fields", "not_about_it"),
    [
        (
            {"holds": False},
            {"hold_sets_money_aside", "commit_takes_what_is_held", "of_commit_and_cancel_at_once_one_wins"},
        ),
        ({"hold_seconds": 3600}, set()),
    ],
)
async def test_what_a_wallet_need_not_have_is_not_held_against_it(
    wallet: ReferenceWallet, fields: dict[str, Any], not_about_it: set[str]
) -> None:
    """Without holds the rules about holds do not apply; with holds that end, all of them do."""
    found = await verdicts(wallet, **fields)
    assert having(found, "failed") == having(found, "not judged") == set()
    assert not_about_it <= having(found, "not applicable")
    assert bool(not_about_it) == bool(having(found, "not applicable"))


@pytest.mark.parametrize("name", BROKEN_WALLETS)
async def test_a_broken_wallet_fails_by_exactly_the_rule_it_breaks(
    wallet: ReferenceWallet, rules: WalletRules, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rule fails; what rests on it is not judged; everything else passes."""
    broken = BROKEN_WALLETS[name]
    broken.patch(monkeypatch)
    monkeypatch.setattr(rules, "__class__", broken.rules)
    found = await verdicts(wallet)
    assert having(found, "failed") == set(broken.breaks)
    assert having(found, "not judged") == resting_on(broken.breaks)


async def test_unsigned_answers_are_a_choice(wallet: ReferenceWallet) -> None:
    """A wallet that signs no answer conforms where signatures are optional, and does not where they are required."""
    system = await wallet.new_system()
    await system.open_wallet(owner_ref="conformance", balance="0")
    await system.arm("no_signature", count=None)
    rule = [rule for rule in RULES if rule.name == "answers_are_signed_and_bound_to_their_request"]
    found = [
        (await judge(target_of(wallet, system, response_signatures=wanted), rules=rule)).judgements[0].verdict
        for wanted in ("optional", "required")
    ]
    assert found == ["not applicable", "failed"]


async def test_without_a_wallet_to_work_with_nothing_is_judged(wallet: ReferenceWallet) -> None:
    """The message says what to open; a wrong key and a wrong address are told as such."""
    system = await wallet.new_system()
    for wrong, told in (
        ({}, "has no such wallet here"),
        ({"api_key": "wrong" * 8}, "answered 401"),
        ({"base_url": "http://127.0.0.1:9"}, "no answer"),
    ):
        with pytest.raises(CannotJudgeError, match=told):
            await judge(target_of(wallet, system, **wrong))
