"""Wire shapes of tenants."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from credentials.json_types import NOT_BLANK, TRIMMED
from credentials.no_credentials import NO_CREDENTIAL
from credentials.tenants.models import Tenant, TenantStatus
from shared.typeids import IdInPath, TypeId

TenantId = Annotated[UUID, TypeId("ten")]
TenantIdInPath = Annotated[UUID, IdInPath("ten")]
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": NOT_BLANK}),
    TRIMMED,
    NO_CREDENTIAL,
]


class TenantCreate(BaseModel):
    """What to make."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Example Broker Ltd"}]})

    name: Name


def _document_never_null(schema: dict[str, Any]) -> None:
    for described in schema["properties"].values():
        choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
        described.pop("default")
        described.update(choices[0])
    schema["examples"] = [{"status": "suspended"}]


class TenantChange(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_document_never_null)

    name: Name | None = None
    status: TenantStatus | None = None
    legacy_signatures: Annotated[bool, Field(strict=True)] | None = None
    """Whether calls the older way are taken: the key in the header ``key``, bodies signed in the header ``signature``."""

    @model_validator(mode="after")
    def _null_is_no_value(self) -> Self:
        for field in self.model_fields_set:
            if getattr(self, field) is None:
                raise ValueError(f"{field} cannot be null; leave it out to keep it")
        return self


class TenantView(BaseModel):
    """A tenant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ten_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "name": "Example Broker Ltd",
                    "status": "active",
                    "created_at": "2026-01-01T12:00:00Z",
                    "legacy_signatures": False,
                }
            ]
        }
    )

    id: TenantId
    name: str
    status: TenantStatus
    created_at: datetime
    legacy_signatures: bool


def view_of(tenant: Tenant) -> TenantView:
    """Return the wire form of a tenant."""
    return TenantView(
        id=tenant.id,
        name=tenant.name,
        status=tenant.status,
        created_at=tenant.created_at,
        legacy_signatures=tenant.legacy_signatures,
    )
