"""``replay``: send one delivery again, or all of a webhook that ended as wished in a span of time."""

import time
from datetime import datetime
from typing import Annotated, Any

import typer

from webhook_dispatcher.commands.options import Api, ApiKey, ApiKeyFile, Url, credential, fail

_TIME_FORMATS = ["%Y-%m-%dT%H:%M:%S%z"]
_POLL_SECONDS = 1.0
_ENDED = frozenset({"completed", "cancelled"})


def replay(
    delivery: Annotated[str | None, typer.Option(help="dlv_…: send this one again.")] = None,
    webhook: Annotated[str | None, typer.Option(help="wh_…: send many of this webhook again; needs --from.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="Made since then.", formats=_TIME_FORMATS)] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", help="Made before then; now.", formats=_TIME_FORMATS)
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="How they ended: failed, delivered, cancelled. Repeatable.")
    ] = None,
    event_type: Annotated[list[str] | None, typer.Option(help="Types or prefixes such as kyc.*. Repeatable.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after the preview.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the recovery to its end.")] = False,
    url: Url = "http://127.0.0.1:8002",
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
) -> None:
    """Send deliveries again; every one keeps its webhook-id, so receivers recognise what they have had.

    With --webhook the count is shown before anything is sent. The recovery itself runs in the dispatcher, whatever becomes of
    this command.
    """
    if bool(delivery) == bool(webhook):
        fail("Name --delivery or --webhook, one of the two.")
    if webhook and since is None:
        fail("--webhook needs --from.")
    api = Api(url, credential(api_key, api_key_file))
    if delivery:
        shown = api.call("POST", f"/v1/deliveries/{delivery}/resend")
        typer.echo(f"{shown['id']} {shown['status']}")
        return
    wanted: dict[str, Any] = {"from": since.isoformat() if since else None, "to": until.isoformat() if until else None}
    wanted |= {"status": status, "event_types": event_type}
    body = {name: value for name, value in wanted.items() if value}
    path = f"/v1/webhooks/{webhook}/recover"
    matched = api.call("POST", path, {**body, "dry_run": True})["matched"]
    typer.echo(f"{matched} deliveries")
    if not matched or not (yes or typer.confirm("Send them again?")):
        return
    recovery = api.call("POST", path, body)
    typer.echo(f"{recovery['id']} {recovery['status']}")
    if wait:
        _follow(api, recovery)


def _follow(api: Api, recovery: dict[str, Any]) -> None:
    while recovery["status"] not in _ENDED:
        time.sleep(_POLL_SECONDS)
        recovery = api.call("GET", f"/v1/recoveries/{recovery['id']}")
    typer.echo(f"{recovery['id']} {recovery['status']}: {recovery['resent']} sent again, {recovery['skipped']} skipped")
    if recovery["status"] != "completed":
        raise typer.Exit(1)
