"""Figures that a test measured, printed as a table when all tests are done. A plugin of pytest, for any process."""

import io
from typing import Any, Protocol

import pytest
from rich.console import Console
from rich.table import Table

_PROPERTY = "figures"
_WIDTH = 120


class Figures(Protocol):
    """Takes the figures of one test, by name."""

    def __call__(self, **figures: Any) -> None:
        """Show these."""
        ...


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Figures:
    """Return what a test calls with the figures it measured."""

    def take(**figures: Any) -> None:
        request.node.user_properties.append((_PROPERTY, {name: str(value) for name, value in figures.items()}))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one table for each test that showed figures."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    for report in reports:
        lines = [value for name, value in getattr(report, "user_properties", ()) if name == _PROPERTY]
        if not lines or report.when != "call":
            continue
        table = Table(title=report.nodeid.rpartition("::")[2], title_justify="left")
        table.add_column("figure")
        for number in range(len(lines)):
            table.add_column("value" if len(lines) == 1 else str(number + 1))
        for name in lines[0]:
            table.add_row(name, *(line.get(name, "") for line in lines))
        text = io.StringIO()
        Console(file=text, width=_WIDTH, highlight=False).print(table)
        terminalreporter.ensure_newline()
        terminalreporter.write(text.getvalue())
