"""Table ``roles``."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from credentials.tables import Base
from shared.key_format import Environment


class Role(Base):
    """A realm's own role. Keys name it, so what it grants is looked up at each verification that asks Postgres."""

    __tablename__ = "roles"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    environment: Mapped[Environment] = mapped_column(Text)
    name: Mapped[str]
    description: Mapped[str | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
