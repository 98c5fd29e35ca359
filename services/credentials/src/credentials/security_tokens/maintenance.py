"""What commands do to all security tokens. Each works in small transactions, and may be run twice without harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, record
from credentials.security_tokens import repository, service
from credentials.security_tokens.issuer import TokenIssuer
from credentials.security_tokens.models import SecurityToken
from shared import typeids
from shared.database import Database
from shared.sealing import SealingError

_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How many tokens were moved to the newest pepper, and which could not be: their sealed text does not open."""

    count: int
    unopened: Sequence[str]


async def make_missing(database: Database, *, issuer: TokenIssuer, maker: str) -> int:
    """Give a token to each tenant that was made before tenants had one; return how many."""
    made = 0
    while count := await database.repeat(partial(_make_some, issuer=issuer, maker=maker)):
        made += count
    return made


async def _make_some(session: AsyncSession, *, issuer: TokenIssuer, maker: str) -> int:
    tenant_ids = await repository.tenants_without(session, limit=_BATCH)
    for tenant_id in tenant_ids:
        token = await service.create(
            session, tenant_id=tenant_id, created_by=maker, issuer=issuer, now=datetime.now(UTC)
        )
        target, changes = service.target_of(token), {"last_four": token.current.last_four}
        actor = Actor(kind="command", id=maker)
        await record(session, action="security_token.created", actor=actor, target=target, changes=changes)
    return len(tenant_ids)


async def rehash(database: Database, *, issuer: TokenIssuer) -> Moved:
    """Hash each token's newest text under the newest pepper, unless it is.

    A text that is in overlap is kept nowhere: it stays under its pepper, which must stay active for that long.
    """
    count = 0
    unopened: list[str] = []
    position: UUID | None = None
    while True:
        async with database.transaction() as session:
            tokens = await repository.page(session, position=position, limit=_BATCH)
            for token in tokens:
                try:
                    count += _rehash_one(token, issuer)
                except SealingError:
                    unopened.append(typeids.encode("stk", token.id))
        if not tokens:
            return Moved(count=count, unopened=unopened)
        position = tokens[-1].id


def _rehash_one(token: SecurityToken, issuer: TokenIssuer) -> bool:
    if token.current.pepper_id == issuer.peppers.current_id:
        return False
    text = issuer.open(token.sealed_token, token_id=token.id, tenant_id=token.tenant_id)
    hashed = issuer.peppers.hash(text.get_secret_value())
    token.current.pepper_id, token.current.secret_hash = hashed.pepper_id, hashed.secret_hash
    return True
