"""Tables ``security_tokens``, ``security_token_versions`` and ``security_token_last_uses``."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column, relationship

from credentials.tables import Base
from shared.key_format import Environment


class SecurityToken(Base):
    """The one token of a tenant. Its newest text is kept sealed, since it can be shown again; older texts only hashed."""

    __tablename__ = "security_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    environment: Mapped[Environment] = mapped_column(Text)
    sealed_token: Mapped[bytes]

    versions: Mapped[list["SecurityTokenVersion"]] = relationship(
        order_by="SecurityTokenVersion.number", lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )

    @property
    def current(self) -> "SecurityTokenVersion":
        """Return the newest version."""
        return self.versions[-1]

    @property
    def last_use(self) -> "SecurityTokenLastUse | None":
        """Return the newest use of any version."""
        uses = [version.last_use for version in self.versions if version.last_use is not None]
        return max(uses, key=lambda use: use.used_at, default=None)


class SecurityTokenVersion(Base):
    """One text of a token: made with it, or by a refresh."""

    __tablename__ = "security_token_versions"

    token_id: Mapped[UUID] = mapped_column(ForeignKey("security_tokens.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    pepper_id: Mapped[str]
    secret_hash: Mapped[bytes]
    prefix: Mapped[str]
    last_four: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]

    last_use: Mapped["SecurityTokenLastUse | None"] = relationship(lazy="raise", viewonly=True)

    def lives_until(self) -> datetime | None:
        """Return when this text ends, by a refresh or by its own expiry; None for never."""
        return min((end for end in (self.ends_at, self.expires_at) if end is not None), default=None)


class SecurityTokenLastUse(Base):
    """When a version was last used, and from where; behind by a few seconds."""

    __tablename__ = "security_token_last_uses"
    __table_args__ = (
        ForeignKeyConstraint(
            ["token_id", "number"], ["security_token_versions.token_id", "security_token_versions.number"]
        ),
    )

    token_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    used_at: Mapped[datetime]
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
