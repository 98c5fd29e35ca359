"""How windows of large tables are read: along one index, from one end, and no further than the window goes.

Such a statement asks for a range of rows, ``(a, id) < (:a, :id)`` in place of ``a = :a AND id < :id``, and orders by all of these
columns: only the index of exactly these columns serves that. With equalities the planner may as well walk the primary key, past
everybody else's rows. It expects next to nothing of such a range, though, and would rather read and sort it whole than begin at
its end; ``walk_indexes`` takes that choice away for the rest of a transaction.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_WALK = text(
    "SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_sort', 'enable_seqscan', 'enable_bitmapscan']) AS name"
)


async def walk_indexes(session: AsyncSession) -> None:
    """Let the transaction's statements from now on read in the order of indexes wherever one has it."""
    await session.execute(_WALK)
