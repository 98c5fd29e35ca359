"""Wire shapes of roles."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from credentials.roles import built_in
from credentials.roles.models import Role
from shared.scopes import BUILT_IN_ROLES, TENANT_SCOPES
from shared.telemetry import redact
from shared.typeids import IdInPath, TypeId

RoleId = Annotated[UUID, TypeId("role")]
RoleIdInPath = Annotated[UUID, IdInPath("role")]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("only printable characters")
    return name


def _no_credential(text: str) -> str:
    if redact(text) != text:
        raise ValueError("holds a credential; treat it as leaked")
    return text


def _known(scope: str) -> str:
    if scope not in TENANT_SCOPES:
        raise ValueError("unknown scope")
    return scope


def _unique(scopes: list[str]) -> list[str]:
    return list(dict.fromkeys(scopes))


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_printable),
    AfterValidator(_no_credential),
]
Scope = Annotated[str, Field(max_length=64, examples=["events:publish"]), AfterValidator(_known)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=100), AfterValidator(_unique)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_no_credential)]


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


class RoleChange(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"scopes": ["events:read", "deliveries:read"]}]}
    )

    name: Name | None = None
    scopes: Scopes | None = None
    description: Description | None = None

    @model_validator(mode="after")
    def _null_is_no_value(self) -> Self:
        for field in self.model_fields_set - {"description"}:
            if getattr(self, field) is None:
                raise ValueError(f"{field} cannot be null; leave it out to keep it")
        return self


class RoleView(BaseModel):
    """A role. Built-in ones are the same for all, and have neither times nor a maker."""

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
