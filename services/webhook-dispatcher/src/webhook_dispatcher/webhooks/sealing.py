"""What the sealed values of webhooks are bound to."""

from uuid import UUID

from shared.sealing import SealContext


def secret_context(*, tenant_id: UUID, secret_id: UUID) -> SealContext:
    """Return what a sealed webhook secret is bound to."""
    return SealContext(table="webhook_secrets", column="sealed_secret", row_id=secret_id, tenant_id=tenant_id)


def headers_context(*, tenant_id: UUID, webhook_id: UUID) -> SealContext:
    """Return what sealed custom headers are bound to."""
    return SealContext(table="webhooks", column="sealed_headers", row_id=webhook_id, tenant_id=tenant_id)
