"""SQL of the narrow table ``api_key_scope_uses``."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids

# Ordered, so that two processes lock rows in the same order. The join leaves out keys deleted since their use.
_WRITE = text("""
INSERT INTO api_key_scope_uses (key_id, scope)
SELECT used.key_id, used.scope
FROM unnest(CAST(:key_ids AS uuid[]), CAST(:scopes AS text[])) AS used (key_id, scope)
JOIN api_keys ON api_keys.id = used.key_id
ORDER BY used.key_id, used.scope
ON CONFLICT DO NOTHING
""")


async def write(connection: AsyncConnection, uses: Collection[tuple[str, str]]) -> None:
    """Store (key id as text, scope) pairs in one statement; those that are there already stay as they are."""
    await connection.execute(
        _WRITE,
        {
            "key_ids": [typeids.decode("key", key_id) for key_id, _ in uses],
            "scopes": [scope for _, scope in uses],
        },
    )
