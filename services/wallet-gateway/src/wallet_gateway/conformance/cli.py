"""``python -m wallet_gateway conformance``: judge a wallet system from the outside."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wallet_gateway.conformance.catalogue import RULES
from wallet_gateway.conformance.reports.html import html_page
from wallet_gateway.conformance.reports.junit import junit_xml
from wallet_gateway.conformance.reports.summary import Run
from wallet_gateway.conformance.reports.table import print_table
from wallet_gateway.conformance.rule import Rule
from wallet_gateway.conformance.run import CannotJudgeError, Target, judge

EXIT_FAILED = 1
EXIT_CANNOT_JUDGE = 2
OWNER_REF = "conformance"
KEY_ID = "conformance"
# Whoever runs it says where: their own machine, as often as not. Nothing here comes from a request.
_ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class ResponseSignatures(StrEnum):
    """Whether answers have to be signed."""

    REQUIRED = "required"
    OPTIONAL = "optional"


def conformance(
    base_url: Annotated[str, typer.Option(help="Where the wallet system is, with its path if it has one.")],
    api_key: Annotated[
        str, typer.Option(envvar="CAUSEWAY_WALLET_API_KEY", help="The API key's text; better by the environment.")
    ],
    api_key_id: Annotated[str, typer.Option(help="The id under which the wallet knows the key (`keyid`).")] = KEY_ID,
    owner_ref: Annotated[str, typer.Option(help="The owner of the test wallet.")] = OWNER_REF,
    wallet_id: Annotated[str | None, typer.Option(help="The test wallet; by default the owner's first one.")] = None,
    response_signatures: Annotated[
        ResponseSignatures, typer.Option(help="Whether answers have to be signed.")
    ] = ResponseSignatures.OPTIONAL,
    rule: Annotated[
        list[str] | None, typer.Option(help="Judge this rule (and what it rests on); may be repeated.")
    ] = None,
    timeout_seconds: Annotated[float, typer.Option(min=0.1, max=60, help="For one call.")] = 10.0,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML report there.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML report there.")] = None,
) -> None:
    """Judge a wallet system by every rule of ewp/1.

    It moves small amounts in and out of one test wallet, which needs no money of its own and no other traffic meanwhile; the
    balance ends as it was. Exit code 0: it conforms; 1: a rule is broken; 2: the run could not begin.
    """
    console = Console()
    target = Target(
        base_url=base_url,
        key_id=api_key_id,
        api_key=api_key,
        owner_ref=owner_ref,
        wallet_id=wallet_id,
        response_signatures=response_signatures.value,
        timeout_seconds=timeout_seconds,
        allowed_cidrs=_ANYWHERE,
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        finished = asyncio.run(judge(target, rules=_chosen(rule)))
    except CannotJudgeError as error:
        console.print(f"Nothing was judged. {error}", style="bold red", markup=False)
        raise typer.Exit(EXIT_CANNOT_JUDGE) from error
    run = Run(
        base_url=base_url, wallet_id=finished.account.wallet_id, started_at=started_at, judgements=finished.judgements
    )
    print_table(run, console)
    if junit is not None:
        junit.write_bytes(junit_xml(run))
    if html is not None:
        html.write_text(html_page(run), encoding="utf-8")
    raise typer.Exit(0 if run.conforms else EXIT_FAILED)


def _chosen(names: list[str] | None) -> list[Rule]:
    """Return the rules of these names with what they rest on, in the catalogue's order; raises typer.BadParameter."""
    if not names:
        return list(RULES)
    by_name = {each.name: each for each in RULES}
    pending = list(names)
    wanted: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in by_name:
            raise typer.BadParameter(f"there is no rule {name!r}")
        if name not in wanted:
            wanted.add(name)
            pending += [needed.name for needed in by_name[name].needs]
    return [each for each in RULES if each.name in wanted]
