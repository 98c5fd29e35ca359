"""Wire shapes of API keys."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AllowInfNan,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    field_validator,
)

from credentials.api_keys import examples
from credentials.api_keys.address_list import Cidr
from credentials.api_keys.examples import shown
from credentials.api_keys.models import ApiKey, KeyStatus, VersionStatus
from credentials.json_types import NOT_BLANK, TRIMMED, WITHOUT_NUL
from credentials.no_credentials import NO_CREDENTIAL
from shared.key_format import Environment
from shared.pagination import PageQuery
from shared.scopes import PLATFORM_SCOPES, TENANT_SCOPES
from shared.typeids import IdInPath, TypeId
from shared.wire_fields import NUMBER_MAX

METADATA_ENTRIES_MAX = 50


def _text_only(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("a time is text as RFC 3339 says")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    return value


def _in_future(value: datetime) -> datetime:
    try:
        value = value.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("out of range") from exc
    if value <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return value


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


ApiKeyId = Annotated[UUID, TypeId("key")]
ApiKeyIdInPath = Annotated[UUID, IdInPath("key")]
FutureTime = Annotated[AwareDatetime, BeforeValidator(_text_only), AfterValidator(_in_future)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": NOT_BLANK}),
    TRIMMED,
    NO_CREDENTIAL,
]
_KNOWN_SCOPES = {"enum": sorted(TENANT_SCOPES.keys() | PLATFORM_SCOPES)}
#: Unknown ones are refused by ``grants``, which knows more of them; the document tells of those that there are.
Scope = Annotated[str, Field(max_length=64, json_schema_extra=_KNOWN_SCOPES)]
Scopes = Annotated[list[Scope], Field(max_length=100), AfterValidator(_unique)]
Roles = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100), AfterValidator(_unique)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=WITHOUT_NUL), NO_CREDENTIAL]
# Strict: a text that is too long to be one must not become a number instead.
_BOUNDED = Field(strict=True, ge=-NUMBER_MAX, le=NUMBER_MAX)
MetadataNumber = Annotated[int, _BOUNDED] | Annotated[float, _BOUNDED, AllowInfNan(False)]
MetadataText = Annotated[str, Field(max_length=500, pattern=WITHOUT_NUL), NO_CREDENTIAL]
MetadataValue = MetadataText | StrictBool | MetadataNumber | None
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_ENTRIES_MAX)]


class ApiKeyCreate(BaseModel):
    """What to make."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Payout processor",
                    "kind": "secret",
                    "environment": "live",
                    "scopes": ["events:publish", "deliveries:read"],
                    "expires_at": "2030-01-01T00:00:00Z",
                    "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
                    "metadata": {"team": "payments"},
                }
            ]
        },
    )

    name: Name
    kind: Literal["secret", "public", "service"]
    environment: Environment
    scopes: Scopes = Field(default_factory=list)
    roles: Roles = Field(default_factory=list)
    expires_at: FutureTime | None = None
    allowed_cidrs: Annotated[list[Cidr], Field(max_length=100), AfterValidator(_unique)] = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


_NEVER_NULL = ("name", "scopes", "roles", "allowed_cidrs", "metadata")


def _document_never_null(schema: dict[str, Any]) -> None:
    for name in _NEVER_NULL:
        described = schema["properties"][name]
        choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
        described.pop("default")
        described.update(choices[0])
    schema["properties"]["expires_at"].pop("default")
    schema["examples"] = [{"scopes": ["deliveries:read"], "allowed_cidrs": ["192.0.2.0/24"], "expires_at": None}]


class ApiKeyChange(BaseModel):
    """What to change; what is not given stays. Lists and ``metadata`` replace the whole; ``expires_at: null`` means never."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_document_never_null)

    name: Name | None = None
    scopes: Scopes | None = None
    roles: Roles | None = None
    allowed_cidrs: Annotated[list[Cidr], Field(max_length=100), AfterValidator(_unique)] | None = None
    expires_at: FutureTime | None = None
    metadata: Metadata | None = None

    @field_validator(*_NEVER_NULL, mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep what is there")
        return value


class VersionView(BaseModel):
    """One issued text of a key."""

    number: int
    status: VersionStatus
    created_at: datetime
    ends_at: datetime | None
    last_used_at: datetime | None


class ApiKeyView(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(json_schema_extra=shown(examples.VIEW))

    id: ApiKeyId
    name: str
    kind: Literal["secret", "public", "service"]
    environment: Environment
    prefix: str
    last_four: str
    scopes: list[str]
    roles: list[str]
    allowed_cidrs: list[str]
    metadata: dict[str, Any]
    status: KeyStatus
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_ip: str | None
    versions: list[VersionView]


class ApiKeyCreated(ApiKeyView):
    """A new key, with its text: the only time it is shown. A replay under the same Idempotency-Key comes without it."""

    model_config = ConfigDict(json_schema_extra=shown(examples.CREATED))

    key: Annotated[str, Field(examples=["cw_sk_live_…"])]


class WhoAmI(ApiKeyView):
    """The caller's own credential, and what it may do at this moment."""

    model_config = ConfigDict(
        json_schema_extra=shown(
            {
                **examples.VIEW,
                "tenant_id": "ten_01j9zq3s8hf3mbq5w7t2k4v6xy",
                "effective_scopes": ["deliveries:read", "events:publish"],
            }
        )
    )

    tenant_id: Annotated[UUID, TypeId("ten")] | None
    effective_scopes: list[str]


class ApiKeyListQuery(PageQuery):
    """Filters of the list."""

    status: KeyStatus | None = None
    kind: Literal["secret", "public", "service"] | None = None
    environment: Environment | None = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00]*$",
            description="Part of the name, or the prefix or last four.",
        ),
    ] = None


def view_of(key: ApiKey, *, now: datetime) -> ApiKeyView:
    """Return the wire form of a key."""
    return ApiKeyView(**_fields(key, now))


def created_view_of(key: ApiKey, *, text: str, now: datetime) -> ApiKeyCreated:
    """Return the wire form of a new key, with its text."""
    return ApiKeyCreated(**_fields(key, now), key=text)


def whoami_of(key: ApiKey, *, effective_scopes: frozenset[str], now: datetime) -> WhoAmI:
    """Return the wire form of the caller's own key."""
    return WhoAmI(**_fields(key, now), tenant_id=key.tenant_id, effective_scopes=sorted(effective_scopes))


def _fields(key: ApiKey, now: datetime) -> dict[str, Any]:
    last_use = key.last_use
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "environment": key.environment,
        "prefix": key.current.prefix,
        "last_four": key.current.last_four,
        "scopes": key.scopes,
        "roles": key.roles,
        "allowed_cidrs": key.allowed_cidrs,
        "metadata": key.key_metadata,
        "status": key.status(now),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "last_used_at": last_use.used_at if last_use else None,
        "last_used_ip": str(last_use.ip) if last_use and last_use.ip else None,
        "versions": [
            VersionView(
                number=version.number,
                status=version.status(now) if key.status(now) == "active" else "ended",
                created_at=version.created_at,
                ends_at=version.ends_at,
                last_used_at=version.last_use.used_at if version.last_use else None,
            )
            for version in key.versions
        ],
    }
