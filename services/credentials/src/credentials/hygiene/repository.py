"""SQL of hygiene: which keys in force have a finding, decided in one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys.owner import Owner
from shared.scopes import BUILT_IN_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is to be said of one key."""

    key_id: UUID
    never_expires: bool
    unused: bool
    scopes_never_exercised: Sequence[str]


# A key's scopes are its own and those of its roles: built-in ones as given, and the realm's own. A key that was never used
# counts from its creation.
_PAGE = """
SELECT k.id AS key_id, k.expires_at IS NULL AS never_expires, s.unused, s.never_exercised
FROM api_keys k
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT max(u.used_at) FROM api_key_last_uses u WHERE u.key_id = k.id), k.created_at) <= :unused_since
               AS unused,
           ARRAY(
               (SELECT unnest(k.scopes)
                UNION SELECT jsonb_array_elements_text(CAST(:built_in AS jsonb) -> role) FROM unnest(k.roles) AS role
                UNION SELECT unnest(r.scopes) FROM roles r
                      WHERE r.tenant_id = k.tenant_id AND r.environment = k.environment AND r.name = ANY(k.roles))
               EXCEPT SELECT e.scope FROM api_key_scope_uses e WHERE e.key_id = k.id
               ORDER BY 1
           ) AS never_exercised
) s
WHERE {whose} AND (CAST(:environment AS text) IS NULL OR k.environment = :environment)
  AND (CAST(:position AS uuid) IS NULL OR k.id < :position)
  AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)
  AND (k.expires_at IS NULL OR s.unused OR cardinality(s.never_exercised) > 0)
ORDER BY k.id DESC LIMIT :limit
"""
# Written out for each kind of owner, so that the index by tenant serves.
_TENANTS_PAGE = text(_PAGE.format(whose="k.tenant_id = :tenant_id"))
_PLATFORMS_PAGE = text(_PAGE.format(whose="k.tenant_id IS NULL"))


async def page(
    session: AsyncSession, *, owner: Owner, position: UUID | None, limit: int, now: datetime, unused_since: datetime
) -> Sequence[Finding]:
    """Return up to ``limit`` keys of the owner that are in force and have a finding, newest first, after ``position``."""
    whose = {} if owner.tenant_id is None else {"tenant_id": owner.tenant_id}
    rows = await session.execute(
        _PLATFORMS_PAGE if owner.tenant_id is None else _TENANTS_PAGE,
        {
            **whose,
            "environment": owner.environment,
            "position": position,
            "limit": limit,
            "now": now,
            "unused_since": unused_since,
            "built_in": _as_json(BUILT_IN_ROLES),
        },
    )
    return [
        Finding(
            key_id=row.key_id,
            never_expires=row.never_expires,
            unused=row.unused,
            scopes_never_exercised=row.never_exercised,
        )
        for row in rows
    ]


def _as_json(roles: Mapping[str, frozenset[str]]) -> str:
    return orjson.dumps({name: sorted(scopes) for name, scopes in roles.items()}).decode()
