"""Table ``tenants``."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from credentials.tables import Base

TenantStatus = Literal["active", "suspended"]


class Tenant(Base):
    """One broker."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[TenantStatus] = mapped_column(Text)
    created_at: Mapped[datetime]
    legacy_signatures: Mapped[bool]
