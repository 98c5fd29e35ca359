"""``credentials rotate-signing-key``."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from credentials.audit.service import Actor
from credentials.oauth.signing_keys import replace_all, rotate
from credentials.resources import open_resources
from credentials.settings import Settings

_ACTOR = Actor(kind="command", id="rotate-signing-key")


def rotate_signing_key(
    *,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="The keys may be known to somebody: drop them, and all access tokens with them."
        ),
    ] = False,
) -> None:
    """Sign access tokens with the next key, and publish another one to come after it.

    Tokens signed before stay good until they end, five minutes at most; nobody notices. The worker does this by itself every
    30 days. With --compromised every key is dropped at once: every token ends within a second, and clients get new ones.
    """
    typer.echo(f"signing with {asyncio.run(_rotate(Settings.load(), compromised=compromised))}")


async def _rotate(settings: Settings, *, compromised: bool) -> str:
    change = replace_all if compromised else rotate
    async with open_resources(settings, serves=False) as resources:
        return await resources.database.repeat(
            partial(change, sealing=resources.sealing, actor=_ACTOR, now=datetime.now(UTC))
        )
