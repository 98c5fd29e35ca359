"""SQL that keeps the settled order of events when their database moves to another cluster, or goes back in time.

Readers hold cursors beyond what a restored database knows: events were written, and read, after the copy was made. New events
must stand behind those too, so the numbers go on at a distance from the greatest one.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

DISTANCE = 1_000_000_000_000
"""More transactions than anything writes between a copy and its restoration; bigint has room for millions of restorations."""

_IS_ELSEWHERE = text(
    "SELECT n.system_identifier <> c.system_identifier FROM transaction_numbers n, pg_control_system() c"
)
_NEXT = text(
    "SELECT greatest((SELECT max(transaction) FROM events), own.number + added) + :distance - own.number"
    " FROM transaction_numbers, (SELECT pg_current_xact_id()::text::bigint AS number) own"
)
_NOTE = text(
    "UPDATE transaction_numbers n SET added = :added, system_identifier = c.system_identifier FROM pg_control_system() c"
)


async def is_elsewhere(session: AsyncSession) -> bool:
    """Tell whether the database was written by another cluster than the one it is in."""
    return bool(await session.scalar(_IS_ELSEWHERE))


async def go_on_beyond(session: AsyncSession) -> int:
    """Give events that are written from now on numbers beyond all that any reader knows.

    Returns what is added to this cluster's numbers. Reads every event once; nobody writes one meanwhile.
    """
    await session.execute(text("SET LOCAL statement_timeout = 0"))
    await session.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
    added = int(await session.scalar(_NEXT, {"distance": DISTANCE}) or 0)
    # Statements that define something take no parameters; a number needs none.
    await session.execute(
        text(
            f"ALTER TABLE events ALTER COLUMN transaction SET DEFAULT (pg_current_xact_id()::text)::bigint + {added:d}"
        )
    )
    await session.execute(
        text(
            "CREATE OR REPLACE FUNCTION settled_before() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS"
            f" $$ SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint + {added:d} $$"
        )
    )
    await session.execute(_NOTE, {"added": added})
    return added
