"""What a security token is told about itself: the fields of a key, as far as a token has them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from credentials.security_tokens.models import SecurityToken
from credentials.security_tokens.service import NAME, ROLE
from shared.key_format import Environment
from shared.typeids import TypeId


class SecurityTokenWhoAmI(BaseModel):
    """The caller's own security token, and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "stk_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "name": NAME,
                    "kind": "security_token",
                    "environment": "live",
                    "tenant_id": "ten_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "prefix": "cw_st_live_Yx3k",
                    "last_four": "9fQ2",
                    "scopes": [],
                    "roles": [ROLE],
                    "status": "active",
                    "created_at": "2026-01-01T12:00:00Z",
                    "created_by": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "expires_at": None,
                    "last_used_at": "2026-02-03T04:05:06Z",
                    "effective_scopes": ["events:publish", "events:read", "transfers:create"],
                }
            ]
        }
    )

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
