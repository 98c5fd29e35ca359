"""The command ``reseal``."""

import asyncio
from collections.abc import Sequence

import typer

from credentials.resealing.sealed_columns import SEALED_COLUMNS
from credentials.resealing.service import Resealed, reseal
from credentials.settings import Settings
from shared.database import Database
from shared.sealing import SealingKeyring


def reseal_all() -> None:
    """Seal every kept secret under the newest sealing key, after a rotation.

    To rotate: add the new key at the END of CAUSEWAY_SEALING_KEYS and restart all processes; move it to the FRONT and restart
    again; run this command, and `verify-audit --vouch`; take the old key out. It may be run while the service runs, twice, or
    again after it was interrupted: what stands under the newest key stays as it is. Exits 1 if a value does not open; that one
    is left as it is, and the key it was sealed under must stay.
    """
    unopened = 0
    for result in asyncio.run(_run(Settings.load())):
        typer.echo(f"{result.column}: {result.resealed} sealed anew, {result.as_they_were} as they were")
        for row_id in result.unopened:
            typer.echo(f"{result.column}: {row_id} does not open", err=True)
        unopened += len(result.unopened)
    if unopened:
        raise typer.Exit(code=1)


async def _run(settings: Settings) -> Sequence[Resealed]:
    keyring = SealingKeyring.from_text(settings.sealing_keys)
    database = Database.open(settings.database_url, application_name="credentials-reseal", pool_size=1)
    try:
        return await reseal(database, keyring=keyring, columns=SEALED_COLUMNS)
    finally:
        await database.aclose()
