"""Wire shapes of ``GET /v1/revocations``."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from credentials.revocations.repository import Revocation, TargetKind
from shared import typeids
from shared.access.jwt import KEY_ID_PREFIX, TOKEN_ID_PREFIX

WAIT_MS_MAX = 10_000
_SEQUENCE_MAX = 2**63 - 1
_PREFIXES: dict[TargetKind, str] = {
    "credential": "key",
    "tenant": "ten",
    "token": TOKEN_ID_PREFIX,
    "signing_key": KEY_ID_PREFIX,
}


class RevocationsQuery(BaseModel):
    """From where to read on, how long to wait for news, and how far the asking process has come."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=_SEQUENCE_MAX)] | None = None
    """The sequence up to which the caller knows the feed; left out: tell me where it stands, without rows."""
    wait_ms: Annotated[int, Field(ge=0, le=WAIT_MS_MAX)] = 0
    service: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    instance: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,100}$")] = "1"
    applied: Annotated[int, Field(ge=0, le=_SEQUENCE_MAX)] | None = None
    took_ms: Annotated[float, Field(ge=0, le=1e12)] | None = None


class RevocationView(BaseModel):
    """Everything known about the target from before ``sequence`` is void. ``age_ms``: since its transaction began."""

    sequence: int
    target_kind: TargetKind
    target_id: str
    reason: str
    at: datetime
    age_ms: float


class FollowerView(BaseModel):
    """One process that follows the feed: what it has applied, and how long the newest revocation took to reach it."""

    service: str
    instance: str
    applied: int
    took_ms: float | None
    seen_ms_ago: int


class Revocations(BaseModel):
    """The feed after the asked sequence, oldest first.

    ``sequence`` is where the feed stands: it covers all that was committed before the request was sent. More rows than one
    answer holds are there when the last one's sequence is below it: ask again at once.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sequence": 4711,
                    "data": [
                        {
                            "sequence": 4711,
                            "target_kind": "credential",
                            "target_id": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                            "reason": "api_key.revoked",
                            "at": "2026-01-01T12:00:00Z",
                            "age_ms": 12.5,
                        }
                    ],
                    "services": [
                        {
                            "service": "webhook-dispatcher",
                            "instance": "host-1-4242",
                            "applied": 4710,
                            "took_ms": 8.4,
                            "seen_ms_ago": 120,
                        }
                    ],
                }
            ]
        }
    )

    sequence: int
    data: list[RevocationView]
    services: list[FollowerView]


def row_of(revocation: Revocation) -> RevocationView:
    """Return the wire form of a row."""
    return RevocationView(
        sequence=revocation.sequence,
        target_kind=revocation.target_kind,
        target_id=typeids.encode(_PREFIXES[revocation.target_kind], revocation.target_id),
        reason=revocation.reason,
        at=revocation.at,
        age_ms=round(max(0.0, revocation.age_ms), 3),
    )
