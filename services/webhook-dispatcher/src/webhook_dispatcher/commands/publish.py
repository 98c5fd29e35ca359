"""``publish``: hand in one event, over HTTP or to the queue."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from shared import typeids
from shared.principals import Realm
from shared.publisher import EventRefusedError, HttpPublisher, PublishedEvent, PublishError, StreamPublisher
from webhook_dispatcher.commands.options import ApiKey, ApiKeyFile, Environment, Url, credential, fail

_DATA_BYTES_MAX = 1024 * 1024

QueueUrl = Annotated[str | None, typer.Option(help="Add it to the stream of this server, instead of over HTTP.")]


def publish(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as withdrawal.rejected.")],
    data: Annotated[str, typer.Argument(help="A JSON object; @file reads it from a file, - from standard input.")],
    tenant_id: Annotated[str, typer.Option("--tenant-id", help="ten_…, whose event it is.")],
    subject: Annotated[str | None, typer.Option(help="The request's id; request functions demand it.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="The event's id; the same id is accepted once.")] = None,
    ordering_key: Annotated[str | None, typer.Option(help="Within what ordered webhooks keep order.")] = None,
    occurred_at: Annotated[
        datetime | None, typer.Option(help="Now, unless given.", formats=["%Y-%m-%dT%H:%M:%S%z"])
    ] = None,
    environment: Environment = "live",
    url: Url = "http://127.0.0.1:8002",
    queue_url: QueueUrl = None,
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
) -> None:
    """Publish one event, and print its id.

    Over HTTP it is durable, with every delivery it owes, when the command ends. On the stream it is accepted once a worker has
    committed it. If the command says that nobody knows, run it again with the id that it printed.
    """
    optional = {"id": event_id, "occurred_at": occurred_at}
    event = PublishedEvent(
        realm=_realm(tenant_id, environment),
        type=event_type,
        data=_read(data),
        subject=subject,
        ordering_key=ordering_key,
        **{name: value for name, value in optional.items() if value is not None},  # type: ignore[arg-type]  # as declared
    )
    publisher = (
        StreamPublisher.open(queue_url) if queue_url else HttpPublisher.open(url, credential(api_key, api_key_file))
    )
    try:
        asyncio.run(_publish(publisher, event))
    except EventRefusedError as exc:
        fail("\n".join([str(exc), *(f"  {error['pointer']}: {error['detail']}" for error in exc.errors)]))
    except PublishError as exc:
        fail(f"{exc}\nIt may or may not have been accepted; the same command with --id {event.id} is harmless.")
    typer.echo(event.id)


async def _publish(publisher: HttpPublisher | StreamPublisher, event: PublishedEvent) -> None:
    async with publisher:
        await publisher.publish(event)


def _realm(tenant_id: str, environment: str) -> Realm:
    if environment not in {"live", "test"}:
        fail("--environment is live or test.")
    try:
        return Realm(
            tenant_id=typeids.decode("ten", tenant_id), environment="test" if environment == "test" else "live"
        )
    except typeids.MalformedIdError:
        fail("--tenant-id is a ten_… id.")


def _read(data: str) -> bytes:
    """Return the JSON as bytes, untouched; the dispatcher judges it, this only finds what is no object at all."""
    if data == "-":
        content = sys.stdin.buffer.read(_DATA_BYTES_MAX + 1)
    elif data.startswith("@"):
        try:
            with Path(data[1:]).open("rb") as file:
                content = file.read(_DATA_BYTES_MAX + 1)
        except OSError as exc:
            fail(f"{data[1:]}: {exc.strerror}")
    else:
        content = data.encode()
    if len(content) > _DATA_BYTES_MAX:
        fail(f"The data has more than {_DATA_BYTES_MAX} bytes.")
    try:
        if not isinstance(orjson.loads(content), dict):
            fail("The data is no JSON object.")
    except orjson.JSONDecodeError as exc:
        fail(f"The data is no JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}.")
    return content.strip()
