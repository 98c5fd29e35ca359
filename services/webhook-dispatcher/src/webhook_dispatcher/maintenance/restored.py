"""After a restoration: new events stand behind all that readers have seen."""

import asyncio

import typer

from shared.database import Database
from webhook_dispatcher.maintenance import transaction_numbers_repository as numbers
from webhook_dispatcher.settings import Settings


async def notice_restoration(database_url: str, *, certain: bool) -> bool:
    """Renumber if the database came from another cluster, or if it is ``certain`` that it was restored; tell whether it did."""
    database = Database.open(database_url, application_name="webhook-dispatcher-restored")
    try:
        async with database.transaction() as session:
            if not certain and not await numbers.is_elsewhere(session):
                return False
            await numbers.go_on_beyond(session)
            return True
    finally:
        await database.aclose()


def restored() -> None:
    """Say that the database was taken back to an older state within the same PostgreSQL cluster.

    Run it once, while APIs and workers are stopped. Readers that follow events by `after` hold cursors beyond that state, and
    would not see what is written next. A restoration into another cluster is noticed without this when migrations run.
    """
    asyncio.run(notice_restoration(Settings.load().database_url, certain=True))
    typer.echo("Events written from now on stand behind all that readers have seen.")
