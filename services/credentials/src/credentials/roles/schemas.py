"""Wire shapes of roles."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from credentials.no_credentials import NO_CREDENTIAL
from credentials.roles import built_in
from credentials.roles.models import Role
from shared.scopes import BUILT_IN_ROLES, TENANT_SCOPES
from shared.typeids import IdInPath, TypeId

RoleId = Annotated[UUID, TypeId("role")]
RoleIdInPath = Annotated[UUID, IdInPath("role")]


def _known(scope: str) -> str:
    if scope not in TENANT_SCOPES:
        raise ValueError("unknown scope")
    return scope


def _unique(scopes: list[str]) -> list[str]:
    return list(dict.fromkeys(scopes))


_NAME = r"^[A-Za-z0-9](?:[A-Za-z0-9 ._:()+/-]*[A-Za-z0-9)])?$"
"""Keys refer to a role by its name, so no two names look alike: no accents, no other alphabets, no spaces at the ends."""

Name = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=_NAME, examples=["payouts"]),
    NO_CREDENTIAL,
]
Scope = Annotated[str, Field(max_length=64, json_schema_extra={"enum": sorted(TENANT_SCOPES)}), AfterValidator(_known)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=100), AfterValidator(_unique)]
Description = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$"), NO_CREDENTIAL]


class RoleCreate(BaseModel):
    """What to make."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "payouts",
                    "scopes": ["events:read", "deliveries:read", "transfers:read"],
                    "description": "What the payout processor needs.",
                }
            ]
        },
    )

    name: Name
    scopes: Scopes
    description: Description | None = None


_NEVER_NULL = ("name", "scopes")


def _document_never_null(schema: dict[str, Any]) -> None:
    for name in _NEVER_NULL:
        described = schema["properties"][name]
        choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
        described.pop("default")
        described.update(choices[0])
    schema["properties"]["description"].pop("default")
    schema["examples"] = [{"scopes": ["events:read", "deliveries:read"]}]


class RoleChange(BaseModel):
    """What to change; what is not given stays. ``description: null`` takes it away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_document_never_null)

    name: Name | None = None
    scopes: Scopes | None = None
    description: Description | None = None

    @field_validator(*_NEVER_NULL, mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep what is there")
        return value


class RoleView(BaseModel):
    """A role. Built-in ones are the same for all, and have neither times nor a maker."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "role_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "name": "payouts",
                    "description": "What the payout processor needs.",
                    "scopes": ["deliveries:read", "events:read", "transfers:read"],
                    "built_in": False,
                    "created_at": "2026-01-01T12:00:00Z",
                    "created_by": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "updated_at": "2026-01-01T12:00:00Z",
                }
            ]
        }
    )

    id: RoleId
    name: str
    description: str | None
    scopes: list[str]
    built_in: bool
    created_at: datetime | None
    created_by: str | None
    updated_at: datetime | None


def view_of(role: Role) -> RoleView:
    """Return the wire form of an own role."""
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        scopes=role.scopes,
        built_in=False,
        created_at=role.created_at,
        created_by=role.created_by,
        updated_at=role.updated_at,
    )


def built_in_view_of(role_id: UUID) -> RoleView:
    """Return the wire form of a built-in role."""
    name = built_in.IDS[role_id]
    return RoleView(
        id=role_id,
        name=name,
        description=built_in.DESCRIPTIONS[name],
        scopes=sorted(BUILT_IN_ROLES[name]),
        built_in=True,
        created_at=None,
        created_by=None,
        updated_at=None,
    )
