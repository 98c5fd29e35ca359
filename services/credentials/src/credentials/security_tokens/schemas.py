"""Wire shapes of the security token."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from credentials.api_keys.schemas import FutureTime
from credentials.security_tokens.models import SecurityToken
from shared.wire_fields import OverlapSeconds


class RefreshWanted(BaseModel):
    """How to replace the token. Without a body, the old one ends at once and the new one never expires."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: Annotated[
        OverlapSeconds,
        Field(description="How long the old token goes on, never past its own expiry. Leave it out for a leaked one."),
    ] = 0
    expires_at: Annotated[FutureTime | None, Field(description="When the new token ends by itself.")] = None


_EXAMPLE: dict[str, Any] = {
    "prefix": "cw_st_live_Yx3k",
    "last_four": "9fQ2",
    "refreshed_at": "2026-01-01T12:00:00Z",
    "refreshed_by": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "last_used_at": "2026-02-03T04:05:06Z",
    "expires_at": None,
    "overlap_ends_at": None,
}


class SecurityTokenView(BaseModel):
    """The token without its text."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    prefix: str
    last_four: str
    refreshed_at: datetime
    refreshed_by: str
    last_used_at: datetime | None
    expires_at: datetime | None
    overlap_ends_at: Annotated[
        datetime | None, Field(description="Until when the text before this one is accepted too; null when it is not.")
    ]


class SecurityTokenRevealed(SecurityTokenView):
    """The token with its text. A replay under the same Idempotency-Key comes without the text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "token": "cw_st_live_Yx3k…9fQ2"}]})

    token: Annotated[str, Field(examples=["cw_st_live_…"])]


def view_of(token: SecurityToken, *, now: datetime) -> SecurityTokenView:
    """Return the wire form of a token."""
    last_use = token.last_use
    ends = [version.lives_until() for version in token.versions[:-1]]
    return SecurityTokenView(
        prefix=token.current.prefix,
        last_four=token.current.last_four,
        refreshed_at=token.current.created_at,
        refreshed_by=token.current.created_by,
        last_used_at=last_use.used_at if last_use else None,
        expires_at=token.current.expires_at,
        overlap_ends_at=max((end for end in ends if end is not None and end > now), default=None),
    )


def revealed_view_of(token: SecurityToken, *, text: str, now: datetime) -> SecurityTokenRevealed:
    """Return the wire form of a token with its text."""
    return SecurityTokenRevealed(**view_of(token, now=now).model_dump(), token=text)
