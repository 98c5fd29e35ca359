"""Wire shapes of ``POST /v1/verify``."""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictInt

from credentials.json_types import ADDRESS_AS_TEXT
from credentials.verification.service import Verdict
from shared.addresses import plain
from shared.principals import Refusal, principal_to_wire
from shared.wire_fields import NUMBER_MAX


class VerifyRequest(BaseModel):
    """A credential that somebody presented, and from where."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"credential": "cw_sk_live_…", "source_ip": "192.0.2.7"}]},
    )

    credential: Annotated[SecretStr, Field(max_length=4096)]
    required_scopes: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100)] = Field(
        default_factory=list
    )
    source_ip: Annotated[IPv4Address | IPv6Address, AfterValidator(plain), ADDRESS_AS_TEXT] | None = None
    used_scope: Annotated[str, Field(max_length=64)] | None = None
    """The scope it is used for: counts as exercised if the credential holds it, and decides nothing."""
    refused_because: Refusal | None = None
    """Why its request was refused although it is valid: told to the owner, and decides nothing."""
    min_sequence: Annotated[StrictInt, Field(ge=0, le=NUMBER_MAX)] = 0
    """The sequence of the feed that the answer must know at least: where the caller stands."""


class PrincipalView(BaseModel):
    """A verified credential. ``tenant_id`` is null for one that may act for any tenant; ``expires_at`` is Unix seconds."""

    credential_id: str
    kind: Literal["secret", "public", "service", "security_token"]
    name: str
    tenant_id: str | None
    environment: Literal["live", "test"]
    scopes: list[str]
    expires_at: float | None
    legacy_signatures: bool


class Valid(BaseModel):
    """It is valid at ``sequence`` of the revocation feed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "valid": True,
                    "principal": {
                        "credential_id": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                        "kind": "secret",
                        "name": "Payout processor",
                        "tenant_id": "ten_01j9zq3s8hf3mbq5w7t2k4v6xy",
                        "environment": "live",
                        "scopes": ["deliveries:read", "events:publish"],
                        "expires_at": 1893456000.0,
                        "legacy_signatures": False,
                    },
                    "sequence": 4711,
                }
            ]
        }
    )

    valid: Literal[True]
    principal: PrincipalView
    sequence: int


class Invalid(BaseModel):
    """It is not, for whatever reason."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"valid": False, "sequence": 4711}]})

    valid: Literal[False]
    sequence: int


def answer_of(verdict: Verdict) -> dict[str, Any]:
    """Return the wire form of a verdict; the reason of a denial stays inside."""
    if verdict.principal is None:
        return {"valid": False, "sequence": verdict.sequence}
    return {"valid": True, "principal": principal_to_wire(verdict.principal), "sequence": verdict.sequence}
