"""The command ``verify-audit``."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer

from credentials.audit.service import PLATFORM_CHAIN
from credentials.audit.verification import Checked, check, check_all
from credentials.settings import Settings
from shared import typeids
from shared.database import Database

PLATFORM = "platform"


def verify_audit(
    tenant: Annotated[
        str | None, typer.Option(help="One chain alone: a tenant's id (ten_…), or `platform` for the platform's own.")
    ] = None,
) -> None:
    """Walk the audit log's hash chains and say where one breaks.

    Each entry's hash covers its content and the hash before it, so that an entry that was altered, removed or moved shows.
    The service may run meanwhile. What a chain cannot show by itself is that its newest entries were cut off and its head set
    back: keep the printed heads somewhere else, and compare. Exits 1 if a chain is broken, 2 for an id that is none.
    """
    try:
        chain_id = None if tenant is None else _chain_of(tenant)
    except typeids.MalformedIdError as exc:
        typer.echo(f"not a tenant's id: {tenant}", err=True)
        raise typer.Exit(code=2) from exc
    if not asyncio.run(_run(Settings.load(), chain_id)):
        raise typer.Exit(code=1)


async def _run(settings: Settings, chain_id: UUID | None) -> bool:
    database = Database.open(settings.database_url, application_name="credentials-verify-audit", pool_size=1)
    is_whole = True
    try:
        if chain_id is not None:
            return _say(await check(database, chain_id=chain_id))
        async for checked in check_all(database):
            is_whole = _say(checked) and is_whole
    finally:
        await database.aclose()
    return is_whole


def _say(checked: Checked) -> bool:
    name = PLATFORM if checked.chain_id == PLATFORM_CHAIN else typeids.encode("ten", checked.chain_id)
    if checked.fault is not None:
        typer.echo(f"{name}: BROKEN at entry {checked.broken_at}: {checked.fault}")
        return False
    typer.echo(f"{name}: whole, {checked.head.number} entries, head {checked.head.hash.hex()}")
    return True


def _chain_of(tenant: str) -> UUID:
    return PLATFORM_CHAIN if tenant == PLATFORM else typeids.decode("ten", tenant)
