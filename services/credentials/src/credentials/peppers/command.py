"""The command ``rotate-pepper``."""

import asyncio
import base64
import secrets
from typing import Annotated

import typer

from credentials.peppers.service import Progress, RetirementRefusedError, progress, retire
from credentials.resources import open_resources
from credentials.settings import Settings

_PEPPER_BYTES = 32


def rotate_pepper(
    *,
    generate: Annotated[
        bool, typer.Option("--generate", help="Only print a new pepper, as an entry for CAUSEWAY_PEPPERS.")
    ] = False,
    retired: Annotated[
        str | None,
        typer.Option("--retire", metavar="ID", help="Check that this pepper can be taken out of CAUSEWAY_PEPPERS."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --retire: end the texts that still stand under it. Their owners see it in the audit log, and get"
            " new ones by rotating their keys.",
        ),
    ] = False,
) -> None:
    """Show which peppers the stored hashes stand under, and tell when an old one can go.

    A hash cannot be moved to another pepper without the key itself. So a key moves by itself, the next time it is used
    successfully; what nobody uses stays where it is. Security tokens are kept sealed and are moved by this command.

    To rotate:

    1. Add the new pepper (see --generate) at the END of CAUSEWAY_PEPPERS, and restart all processes: now all of them know it.

    2. Move it to the FRONT and restart again: new keys, and used ones, now stand under it. (In front at once, processes
    not yet restarted would deny the keys that others have moved.)

    3. Run this command from time to time; then with --retire ID. It refuses while a valid key needs the pepper: ask its owner
    to use or rotate it, or end it with --force.

    4. Take the old pepper out, and restart. Until then nothing is denied at any moment.
    """
    if generate:
        entry = f"p{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_PEPPER_BYTES)).decode()}"
        typer.echo(entry)
        return
    try:
        shown, ended = asyncio.run(_run(Settings.load(), retired=retired, force=force))
    except RetirementRefusedError as exc:
        typer.echo(f"refused: {exc}", err=True)
        raise typer.Exit(code=1) from exc
    _show(shown)
    if retired is not None:
        typer.echo(f"ended now: {ended}")
        typer.echo(f"nothing valid stands under {retired}: it can be taken out of CAUSEWAY_PEPPERS")


async def _run(settings: Settings, *, retired: str | None, force: bool) -> tuple[Progress, int]:
    async with open_resources(settings, serves=False) as resources:
        ended = 0
        if retired is not None:
            await progress(resources)
            ended = await retire(resources, pepper_id=retired, force=force)
        return await progress(resources), ended


def _show(shown: Progress) -> None:
    for standing in shown.standings:
        if standing.pepper_id == shown.current_id:
            state = "current"
        else:
            state = "active" if standing.pepper_id in shown.configured_ids else "NOT CONFIGURED: these are denied"
        typer.echo(f"{standing.pepper_id}: {standing.live} valid of {standing.all} ({state})")
