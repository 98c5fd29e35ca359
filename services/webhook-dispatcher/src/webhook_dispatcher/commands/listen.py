"""``listen``: a local destination that verifies what comes and prints it, for whoever is about to write a receiver."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from aiohttp import web

from shared.ed25519_signatures import VerifyingKey
from shared.webhook_signatures import SECRET_PREFIX, MalformedSecretError, SigningSecret
from webhook_dispatcher.commands.options import Api, ApiKey, ApiKeyFile, Url, credential, fail
from webhook_dispatcher.commands.verification import verify

BODY_BYTES_MAX = 2 * 1024 * 1024
SHOWN_CHARS = 2_000
_LOOPBACK = "127.0.0.1"

Secret = Annotated[
    str | None,
    typer.Option(
        "--secret",
        envvar="CAUSEWAY_WEBHOOK_SECRET",
        show_envvar=True,
        help="The webhook's secret, whsec_… or the own one of a crm or timestamped webhook. Not with --register.",
    ),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file", envvar="CAUSEWAY_WEBHOOK_SECRET_FILE", exists=True, dir_okay=False, help="A file with it."
    ),
]
Register = Annotated[
    list[str] | None,
    typer.Option(
        "--register",
        metavar="EVENTS",
        help="Make a webhook to this address for these events, such as withdrawal.*, and delete it at the end. The dispatcher"
        " has to reach loopback, as that of `make run` does. May be repeated.",
    ),
]


def listen(
    secret: Secret = None,
    secret_file: SecretFile = None,
    public_key: Annotated[str | None, typer.Option(help="whpk_…, to verify v1a signatures too.")] = None,
    signature_header: Annotated[
        str | None, typer.Option(help="The webhook's own signature header, if it has one.")
    ] = None,
    port: Annotated[int, typer.Option(help="The port on loopback; 0 is any free one.", min=0, max=65535)] = 0,
    status: Annotated[int, typer.Option(help="What to answer, if the signature fits.", min=200, max=599)] = 204,
    register: Register = None,
    url: Url = "http://127.0.0.1:8002",
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
) -> None:
    """Receive deliveries on this machine: verify each one, print it, and answer; Ctrl-C ends it.

    What no signature fits is answered 400, as a receiver should.
    """
    text = secret_file.read_text().strip() if secret_file else secret
    if bool(text) == bool(register):
        fail("Give the secret of a webhook that exists, or --register; one of the two.")
    api = Api(url, credential(api_key, api_key_file)) if register else None
    try:
        asyncio.run(
            _listen(
                text=text,
                public_key=public_key,
                signature_header=signature_header,
                port=port,
                status=status,
                api=api,
                events=register or [],
            )
        )
    except OSError as exc:
        fail(f"Cannot listen on port {port}: {exc.strerror}.")


async def _listen(
    *,
    text: str | None,
    public_key: str | None,
    signature_header: str | None,
    port: int,
    status: int,
    api: Api | None,
    events: list[str],
) -> None:
    received: Any = {}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        verdict = verify(
            received["secret"],
            public_key=received["public_key"],
            signature_header=signature_header,
            headers=headers,
            body=body,
            now=time.time(),
        )
        _show(headers, body, fits=verdict.forms, faults=verdict.faults)
        return web.Response(status=status if verdict.forms else 400)

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, _LOOPBACK, port).start()
    own_url = f"http://{_LOOPBACK}:{runner.addresses[0][1]}/"
    webhook_id = None
    try:
        if api is not None:
            body = {"name": "listen", "url": own_url, "events": events, "trigger": "every"}
            made = await asyncio.to_thread(api.call, "POST", "/v1/webhooks", body)
            webhook_id, text = made["id"], made["secret"]
            typer.echo(f"registered {webhook_id}")
        received["secret"], received["public_key"] = _secret(text or ""), _public_key(public_key)
        typer.echo(f"listening on {own_url}")
        await _until_told()
    finally:
        if api is not None and webhook_id is not None:
            await asyncio.to_thread(api.call, "DELETE", f"/v1/webhooks/{webhook_id}")
            typer.echo(f"deleted {webhook_id}")
        await runner.cleanup()


async def _until_told() -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _secret(text: str) -> SigningSecret:
    try:
        return (
            SigningSecret.parse_standard(text)
            if text.startswith(SECRET_PREFIX)
            else SigningSecret.parse_printable(text)
        )
    except MalformedSecretError as exc:
        fail(f"The secret: {exc}")


def _public_key(text: str | None) -> VerifyingKey | None:
    try:
        return VerifyingKey.parse(text) if text else None
    except MalformedSecretError as exc:
        fail(f"The public key: {exc}")


def _show(headers: dict[str, str], body: bytes, *, fits: list[str], faults: list[str]) -> None:
    verdict = f"verified: {', '.join(fits)}" if fits else f"REFUSED: {'; '.join(faults) or 'no signature'}"
    typer.echo(f"{time.strftime('%H:%M:%S')} {_printable(headers.get('webhook-id', 'no webhook-id'))} {verdict}")
    typer.echo(f"  {_printable(body.decode('utf-8', 'replace'))[:SHOWN_CHARS]}")


def _printable(text: str) -> str:
    """Return a text that cannot move the cursor or colour the terminal it is shown on."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
