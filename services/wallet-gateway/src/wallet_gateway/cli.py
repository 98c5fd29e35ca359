"""The commands of the wallet gateway."""

import typer

from wallet_gateway.conformance.cli import conformance

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The wallet gateway's commands."
)
app.command()(conformance)


@app.callback()
def commands() -> None:
    """Keep `conformance` a command of its own, as long as there is no other."""
