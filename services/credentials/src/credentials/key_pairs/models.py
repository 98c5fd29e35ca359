"""Table ``key_pairs``."""

from uuid import UUID

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from credentials.tables import Base
from shared.key_format import Environment


class KeyPair(Base):
    """The pair that is current in a realm: the last one that was made there. A deleted key leaves its place empty."""

    __tablename__ = "key_pairs"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    environment: Mapped[Environment] = mapped_column(Text, primary_key=True)
    public_key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    secret_key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
