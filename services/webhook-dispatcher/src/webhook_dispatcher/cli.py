"""The commands of the dispatcher's operators."""

import typer

from webhook_dispatcher.retention.command import retention

app = typer.Typer(
    help="Commands of the Causeway webhook dispatcher.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command("retention")(retention)


@app.callback()
def _commands() -> None:
    """Keep the name of a command needed, also while there is only one."""
