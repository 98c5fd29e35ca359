"""A run as a table in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wallet_gateway.conformance.reports.summary import Run
from wallet_gateway.conformance.rule import Judgement, Verdict

_STYLES: dict[Verdict, str] = {
    "passed": "green",
    "failed": "bold red",
    "not judged": "yellow",
    "not applicable": "dim",
}


def print_table(run: Run, console: Console) -> None:
    """Print every rule with how it ended, and the result."""
    table = Table(show_lines=False, expand=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("rule", overflow="fold", ratio=1)
    table.add_column("ms", justify="right", no_wrap=True)
    topic = ""
    for judgement in run.judgements:
        if judgement.rule.topic != topic:
            topic = judgement.rule.topic
            table.add_section()
        table.add_row(*_row(judgement))
    console.print(table)
    console.print(f"[{'green' if run.conforms else 'bold red'}]{escape(run.told)}[/]")


def _row(judgement: Judgement) -> tuple[str, str, str]:
    style = _STYLES[judgement.verdict]
    told = f"{judgement.rule.name}\n[dim]{escape(judgement.rule.title)}[/]"
    if judgement.detail:
        told += f"\n[{style}]{escape(judgement.detail)}[/]"
    return f"[{style}]{judgement.verdict}[/]", told, f"{judgement.duration_seconds * 1000:.0f}"
