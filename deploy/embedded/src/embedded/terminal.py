"""What the person at the terminal sees: calm progress, prefixed logs, plain text where the output is no terminal."""

import zlib

from rich.console import Console
from rich.markup import escape

_PREFIX_STYLES = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_PREFIX_WIDTH = 27
_TITLE_WIDTH = 22
_EVENT_TYPE_WIDTH = 33


class Terminal:
    """Writes to standard output; styles are left out when that is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        self._print(f"\n[bold]{escape(text)}[/]")

    def done(self, title: str, detail: str = "", *, seconds: float | None = None) -> None:
        took = f"  [dim]{seconds:.1f} s[/]" if seconds is not None else ""
        self._print(f"  [green]✓[/] {escape(title):<{_TITLE_WIDTH}} [dim]{escape(detail)}[/]{took}")

    def failed(self, title: str, detail: str = "") -> None:
        self._print(f"  [red]✗[/] {escape(title):<{_TITLE_WIDTH}} {escape(detail)}")

    def arrival(self, event_type: str, subject: str, verdict: str) -> None:
        self._print(
            f"  [green]✓[/] {escape(event_type):<{_EVENT_TYPE_WIDTH}} [cyan]{escape(subject):<10}[/] {escape(verdict)}"
        )

    def text(self, text: str = "") -> None:
        self._print(escape(text))

    def command(self, comment: str, command: str) -> None:
        """Show a line to paste, under what it does."""
        self._print(f"  [dim]# {escape(comment)}[/]\n  {escape(command)}")

    def notice(self, text: str) -> None:
        """Say what the supervisor does about a process."""
        self._print(f"[yellow]{'supervisor':<{_PREFIX_WIDTH}}[/] [dim]│[/] {escape(text)}")

    def log(self, process_name: str, line: str) -> None:
        """Pass on one line of a process, under its name."""
        style = _PREFIX_STYLES[zlib.crc32(process_name.encode()) % len(_PREFIX_STYLES)]
        # The line may carry the process's own colours, or anything else: it is not ours to interpret.
        self._print(f"[{style}]{process_name:<{_PREFIX_WIDTH}}[/] [dim]│[/] {escape(line)}")

    def error(self, text: str) -> None:
        first, *rest = text.splitlines() or [""]
        self._print("\n".join([f"\n[bold red]Causeway could not start:[/] {escape(first)}", *map(escape, rest)]))

    def _print(self, markup: str) -> None:
        self._console.print(markup)
