"""The command of the conformance kit: its exit code, its table, and the two reports."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.databases import Databases
from support.reference_wallet import ReferenceWallet, WalletSystem, reference_wallet
from wallet_gateway.conformance import rules as topics
from wallet_gateway.conformance.catalogue import RULES
from wallet_gateway.conformance.reports.html import html_page
from wallet_gateway.conformance.reports.junit import junit_xml
from wallet_gateway.conformance.reports.summary import Run
from wallet_gateway.conformance.rule import Judgement, Verdict

# Quick ones are enough here: that every rule passes is proved in test_kit.py.
_RULES = ("debit_leaves", "well_known_document_is_complete", "order_after_its_cancel_is_refused")


@pytest.fixture(scope="module")
async def wallet(databases: Databases) -> AsyncIterator[ReferenceWallet]:
    """Return a served wallet."""
    async with reference_wallet(databases) as served:
        yield served


@pytest.fixture
async def system(wallet: ReferenceWallet) -> WalletSystem:
    """Return a wallet system with an empty wallet for the kit."""
    made = await wallet.new_system()
    await made.open_wallet(owner_ref="conformance", balance="0")
    return made


async def run_command(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run it as an integrator does; return the exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wallet_gateway", "conformance", *arguments),
        env={**os.environ, "COLUMNS": "160", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


def arguments_of(wallet: ReferenceWallet, system: WalletSystem, *more: str) -> list[str]:
    """Return the usual arguments."""
    rules = [word for name in _RULES for word in ("--rule", name)]
    return ["--base-url", wallet.url, "--api-key-id", system.key.key_id, *rules, *more]


async def test_a_wallet_that_conforms_is_exit_code_0(
    wallet: ReferenceWallet, system: WalletSystem, tmp_path: Path
) -> None:
    """The table names each rule, the last line says the result, and both reports are written."""
    junit, html = tmp_path / "report.xml", tmp_path / "report.html"
    arguments = arguments_of(wallet, system, "--junit", str(junit), "--html", str(html))
    code, printed = await run_command(*arguments, "--api-key", system.key.secret.decode())
    assert code == 0, printed
    assert all(name in printed for name in _RULES)
    # The rule about late orders rests on another one, which is judged with it.
    assert printed.rstrip().endswith("The wallet conforms to ewp/1: 4 passed.")
    assert ET.parse(junit).getroot().attrib["tests"] == "4"  # noqa: S314 - our own report
    assert "The wallet conforms" in html.read_text()


async def test_a_broken_rule_is_exit_code_1(wallet: ReferenceWallet, system: WalletSystem) -> None:
    """The reason stands with the rule; the key may come by the environment, and is not printed."""
    await system.arm("wrong_state", operations=["cancel"], count=None)
    key = system.key.secret.decode()
    code, printed = await run_command(*arguments_of(wallet, system), CAUSEWAY_WALLET_API_KEY=key)
    assert code == 1
    assert "the answer has no state of the protocol" in printed
    assert "does not conform to ewp/1: 2 passed, 1 failed, 1 not judged" in printed
    assert key not in printed


@pytest.mark.parametrize(
    ("more", "told"), [(["--owner-ref", "nobody"], "--wallet-id"), (["--rule", "no_such"], "there is no rule")]
)
async def test_what_cannot_be_judged_is_exit_code_2(
    wallet: ReferenceWallet, system: WalletSystem, more: list[str], told: str
) -> None:
    """Without a wallet to work with, or with a rule that there is not, the message says what to do."""
    key = system.key.secret.decode()
    code, printed = await run_command(*arguments_of(wallet, system, *more), CAUSEWAY_WALLET_API_KEY=key)
    assert (code, told in printed) == (2, True), printed


def a_run() -> Run:
    """Return a run with each verdict and a hostile detail."""
    verdicts: tuple[Verdict, ...] = ("passed", "failed", "not judged", "not applicable")
    judgements = [
        Judgement(
            rule=RULES[number], verdict=verdict, detail="<script>\x00]]>&" if number else "", duration_seconds=0.5
        )
        for number, verdict in enumerate(verdicts)
    ]
    return Run(
        base_url="https://x.test/<b>", wallet_id="w\x01", started_at="2026-11-25T12:00:00+00:00", judgements=judgements
    )


def test_junit_counts_and_tells(tmp_path: Path) -> None:
    """Suites are topics; failures carry their reason; what was not judged is skipped; anything a wallet says is valid XML."""
    path = tmp_path / "r.xml"
    path.write_bytes(junit_xml(a_run()))
    root = ET.parse(path).getroot()  # noqa: S314 - our own report
    assert (
        root.attrib.items() >= {"tests": "4", "failures": "1", "errors": "0", "skipped": "2", "time": "2.000"}.items()
    )
    assert [suite.attrib["name"] for suite in root] == ["discovery", "signatures"]
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib["message"] == "<script>\ufffd]]>&"


def test_the_page_quotes_what_a_wallet_said() -> None:
    """Nothing of a wallet's answer becomes markup, and nothing is loaded from elsewhere."""
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.extend([tag, *(name for name, _ in attrs)])

    Tags().feed(html_page(a_run()))
    assert {"script", "b", "src", "href"} & set(seen) == set()
    assert seen.count("tr") == 4


def test_every_rule_is_in_the_catalogue_behind_what_it_rests_on() -> None:
    """No rule is forgotten, none is listed twice, and each says what must hold."""
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for number, rule in enumerate(RULES):
        assert {needed.name for needed in rule.needs} <= set(names[:number]), rule.name
        assert rule.title.endswith("."), rule.name
    folder = Path(topics.__file__ or "").parent
    written = sum(path.read_text().count("\n@rule(") for path in folder.glob("*.py"))
    assert written == len(RULES)
