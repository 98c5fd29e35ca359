"""Tables ``api_keys``, ``api_key_versions`` and ``api_key_last_uses``."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column, relationship

from credentials.tables import Base
from shared.key_format import Environment, Kind

KeyStatus = Literal["active", "revoked", "expired"]
VersionStatus = Literal["active", "overlap", "ended"]


class ApiKey(Base):
    """A key as its owner knows it; the secret itself is in its versions, hashed."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID | None]
    environment: Mapped[Environment] = mapped_column(Text)
    kind: Mapped[Kind] = mapped_column(Text)
    name: Mapped[str]
    scopes: Mapped[list[str]]
    roles: Mapped[list[str]]
    allowed_cidrs: Mapped[list[str]]
    key_metadata: Mapped[dict[str, Any]] = mapped_column("metadata")
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]

    versions: Mapped[list["ApiKeyVersion"]] = relationship(
        order_by="ApiKeyVersion.number", lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )

    @property
    def current(self) -> "ApiKeyVersion":
        """Return the version that is not about to end; of a key that has none, the newest."""
        return next((version for version in reversed(self.versions) if version.ends_at is None), self.versions[-1])

    @property
    def last_use(self) -> "ApiKeyLastUse | None":
        """Return the newest use of any version."""
        uses = [version.last_use for version in self.versions if version.last_use is not None]
        return max(uses, key=lambda use: use.used_at, default=None)

    def status(self, now: datetime) -> KeyStatus:
        """Return the key's state at ``now``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def end_versions_by(self, moment: datetime) -> None:
        """See to it that no version that has an end outlives ``moment``."""
        for version in self.versions:
            if version.ends_at is not None and version.ends_at > moment:
                version.ends_at = moment


class ApiKeyVersion(Base):
    """One key text that was issued for a key."""

    __tablename__ = "api_key_versions"

    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    pepper_id: Mapped[str]
    secret_hash: Mapped[bytes]
    prefix: Mapped[str]
    last_four: Mapped[str]
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]

    last_use: Mapped["ApiKeyLastUse | None"] = relationship(lazy="raise", viewonly=True)

    def status(self, now: datetime) -> VersionStatus:
        """Return the version's state at ``now``: one with an end lives in overlap until then."""
        if self.ends_at is None:
            return "active"
        return "overlap" if self.ends_at > now else "ended"


class ApiKeyLastUse(Base):
    """When a version was last used, and from where; behind by a few seconds."""

    __tablename__ = "api_key_last_uses"
    __table_args__ = (
        ForeignKeyConstraint(["key_id", "number"], ["api_key_versions.key_id", "api_key_versions.number"]),
    )

    key_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    used_at: Mapped[datetime]
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
