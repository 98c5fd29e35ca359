"""The commands of the dispatcher: for operators, publishers, and integrators who write a receiver."""

import typer

from webhook_dispatcher.commands.listen import listen
from webhook_dispatcher.commands.publish import publish
from webhook_dispatcher.commands.replay import replay
from webhook_dispatcher.maintenance.restored import restored
from webhook_dispatcher.retention.command import retention

app = typer.Typer(
    help="Commands of the Causeway webhook dispatcher.",
    no_args_is_help=True,
    add_completion=False,  # a shell completes the name of a program, and these are run by `python -m`
    pretty_exceptions_enable=False,
)
app.command("publish")(publish)
app.command("listen")(listen)
app.command("replay")(replay)
app.command("retention")(retention)
app.command("restored")(restored)
