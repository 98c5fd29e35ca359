"""What a security token is told about itself: the fields of a key, as far as a token has them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel

from credentials.security_tokens.models import SecurityToken
from credentials.security_tokens.service import NAME, ROLE
from shared.key_format import Environment
from shared.typeids import TypeId


class SecurityTokenWhoAmI(BaseModel):
    """The caller's own security token, and what it may do."""

    id: Annotated[UUID, TypeId("stk")]
    name: str
    kind: Literal["security_token"]
    environment: Environment
    tenant_id: Annotated[UUID, TypeId("ten")]
    prefix: str
    last_four: str
    scopes: list[str]
    roles: list[str]
    status: Literal["active"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    effective_scopes: list[str]


def whoami_of_token(token: SecurityToken, *, effective_scopes: frozenset[str]) -> SecurityTokenWhoAmI:
    """Return the wire form for the holder; ``prefix`` and the like are those of the newest text."""
    last_use = token.last_use
    return SecurityTokenWhoAmI(
        id=token.id,
        name=NAME,
        kind="security_token",
        environment=token.environment,
        tenant_id=token.tenant_id,
        prefix=token.current.prefix,
        last_four=token.current.last_four,
        scopes=[],
        roles=[ROLE],
        status="active",
        created_at=token.versions[0].created_at,
        created_by=token.versions[0].created_by,
        expires_at=token.current.expires_at,
        last_used_at=last_use.used_at if last_use else None,
        effective_scopes=sorted(effective_scopes),
    )
