"""The command ``verify-audit``."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer

from credentials.audit.proof import AuditKeys
from credentials.audit.service import PLATFORM_CHAIN
from credentials.audit.verification import Checked, all_chains, check, vouch
from credentials.settings import Settings
from shared import typeids
from shared.database import Database

PLATFORM = "platform"


def verify_audit(
    *,
    tenant: Annotated[
        str | None, typer.Option(help="One chain alone: a tenant's id (ten_…), or `platform` for the platform's own.")
    ] = None,
    vouch_too: Annotated[
        bool,
        typer.Option(
            "--vouch",
            help="For a chain that is whole but for entries that the newest key does not prove: record in it that it was"
            " found so. To be run once after the upgrade that brought proofs, and before an old sealing key is taken out.",
        ),
    ] = False,
) -> None:
    """Walk the audit log's hash chains and say where one breaks.

    Each entry's hash covers its content and the hash before it, so that an entry that was altered, removed or moved shows. A
    proof beside each hash, under a key derived from CAUSEWAY_SEALING_KEYS, shows that this service wrote it: with the database's
    password alone nobody can put another chain in its place. Entries from before there were proofs, or under a key that was
    taken out, count as BROKEN until somebody vouches for them; look at the heads you kept before you do.

    The service may run meanwhile. What a chain cannot show by itself is that its newest entries were cut off and its head set
    back: keep the printed heads somewhere else, and compare. Exits 1 if a chain is broken, 2 for an id that is none.
    """
    try:
        chain_id = None if tenant is None else _chain_of(tenant)
    except typeids.MalformedIdError as exc:
        typer.echo(f"not a tenant's id: {tenant}", err=True)
        raise typer.Exit(code=2) from exc
    if not asyncio.run(_run(Settings.load(), chain_id, vouch_too=vouch_too)):
        raise typer.Exit(code=1)


async def _run(settings: Settings, chain_id: UUID | None, *, vouch_too: bool) -> bool:
    keys = AuditKeys.from_sealing_keys(settings.sealing_keys)
    database = Database.open(
        settings.database_url,
        application_name="credentials-verify-audit",
        pool_size=1,
        session_info=keys.session_info,
    )
    is_whole = True
    try:
        chain_ids = await all_chains(database) if chain_id is None else [chain_id]
        for each in chain_ids:
            checked = await (vouch if vouch_too else check)(database, chain_id=each)
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
