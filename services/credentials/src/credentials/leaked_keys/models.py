"""Table ``leaked_key_reports``."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from credentials.tables import Base
from shared.key_format import Kind


class LeakedKeyReport(Base):
    """Somebody says that a key leaked. Kept until it was dealt with; of the key, only its possible hashes."""

    __tablename__ = "leaked_key_reports"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[Kind] = mapped_column(Text)
    hashes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    request_id: Mapped[str]
    reported_at: Mapped[datetime]
