"""The commands of the platform: make keys, and register the first ones."""

import asyncio
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from credentials.audit.command import verify_audit
from credentials.bootstrap.service import (
    MAKER,
    GivenKeyRefusedError,
    PlatformKeyName,
    Registered,
    generate_once,
    register_given,
)
from credentials.oauth.command import rotate_signing_key
from credentials.peppers.command import rotate_pepper
from credentials.resealing.command import reseal_all
from credentials.resources import open_resources
from credentials.security_tokens.maintenance import make_missing
from credentials.settings import Settings
from shared import key_format

app = typer.Typer(
    help="Commands of the Causeway credentials service.",
    no_args_is_help=True,
    add_completion=False,  # a shell completes the name of a program, and these are run by `python -m`
    pretty_exceptions_enable=False,
)
app.command("rotate-pepper")(rotate_pepper)
app.command("reseal")(reseal_all)
app.command("rotate-signing-key")(rotate_signing_key)
app.command("verify-audit")(verify_audit)


class KeyKind(StrEnum):
    """Kinds of keys that can be generated."""

    SECRET = "secret"  # noqa: S105 - the name of a kind, no secret
    PUBLIC = "public"
    SERVICE = "service"


class KeyEnvironment(StrEnum):
    """Environments of keys."""

    LIVE = "live"
    TEST = "test"


@app.command("generate-key")
def generate_key(
    kind: Annotated[KeyKind, typer.Option(help="What the key is for.")] = KeyKind.SERVICE,
    environment: Annotated[KeyEnvironment, typer.Option(help="Where it will be valid.")] = KeyEnvironment.LIVE,
) -> None:
    """Print a new key text.

    It is valid nowhere until it is registered: give it to `bootstrap`, and to whoever is to use it.
    """
    typer.echo(key_format.generate(kind.value, environment.value))


@app.command()
def bootstrap(
    platform_key: Annotated[
        str | None,
        typer.Option(
            help="Text of the platform key (cw_sv_…). Others can read the arguments of a process: better give it as"
            " CAUSEWAY_PLATFORM_KEY, or the file that holds it as CAUSEWAY_PLATFORM_KEY_FILE."
        ),
    ] = None,
    service_key: Annotated[
        str | None,
        typer.Option(
            help="Text of the key by which the sibling services verify credentials; better CAUSEWAY_SERVICE_KEY or"
            " CAUSEWAY_SERVICE_KEY_FILE."
        ),
    ] = None,
    publisher_key: Annotated[
        str | None,
        typer.Option(
            help="Text of the key by which wallet-gateway publishes events; better CAUSEWAY_PUBLISHER_KEY or"
            " CAUSEWAY_PUBLISHER_KEY_FILE. Without one, none is made."
        ),
    ] = None,
) -> None:
    """Register the platform's first keys in a migrated database.

    The platform key makes tenants and their first keys; the service key lets the sibling services verify credentials; by the
    publisher key wallet-gateway tells the dispatcher what transfers have come to. A given key is registered unless it is known
    already. Where none of the first two is given, one is generated and printed this once,
    unless there is one in force. Tenants from before there were security tokens get theirs. Running it again changes nothing.
    """
    wanted: dict[PlatformKeyName, SecretStr | None] = {
        "platform": _given(platform_key, "CAUSEWAY_PLATFORM_KEY"),
        "siblings": _given(service_key, "CAUSEWAY_SERVICE_KEY"),
    }
    publisher = _given(publisher_key, "CAUSEWAY_PUBLISHER_KEY")
    if publisher is not None:
        wanted["publisher"] = publisher
    try:
        registered = asyncio.run(_bootstrap(Settings.load(), wanted))
    except GivenKeyRefusedError as exc:
        typer.echo(f"refused: {exc}", err=True)
        raise typer.Exit(code=1) from exc
    for name, key in registered.items():
        typer.echo(f"{name}: {key.key_id} {'registered' if key.is_new else 'was there already'}", err=True)
        if key.text is not None:
            typer.echo(f"{name}={key.text.get_secret_value()}")


async def _bootstrap(
    settings: Settings, wanted: dict[PlatformKeyName, SecretStr | None]
) -> dict[PlatformKeyName, Registered]:
    async with open_resources(settings, serves=False) as resources:
        await make_missing(resources.database, issuer=resources.token_issuer, maker=MAKER)
        return {
            name: await (
                generate_once(resources, name=name) if text is None else register_given(resources, name=name, text=text)
            )
            for name, text in wanted.items()
        }


def _given(option: str | None, variable: str) -> SecretStr | None:
    path = os.environ.get(f"{variable}_FILE")
    text = option or (Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get(variable))
    return SecretStr(text) if text else None
