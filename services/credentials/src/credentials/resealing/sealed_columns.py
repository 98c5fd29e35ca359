"""Which columns of this service hold sealed values. A feature that seals something adds a line here; `reseal` does the rest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedColumn:
    """A column of sealed values (nullable or not), as its SealContext names it, and where the context's ids stand."""

    table: str
    column: str
    row_id: str = "id"
    tenant_id: str | None = "tenant_id"
    """None for a table whose rows belong to no tenant."""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


SEALED_COLUMNS: tuple[SealedColumn, ...] = (
    SealedColumn(table="security_tokens", column="sealed_token"),
    SealedColumn(table="oauth_signing_keys", column="sealed_private_key", tenant_id=None),
)
