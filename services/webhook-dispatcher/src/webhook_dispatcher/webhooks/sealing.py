"""What the sealed values of webhooks are bound to, and how custom headers are sealed and opened."""

from collections.abc import Mapping
from uuid import UUID

import orjson

from shared.sealing import SealContext, SealingKeyring


def secret_context(*, tenant_id: UUID, secret_id: UUID) -> SealContext:
    """Return what a sealed webhook secret is bound to."""
    return SealContext(table="webhook_secrets", column="sealed_secret", row_id=secret_id, tenant_id=tenant_id)


def headers_context(*, tenant_id: UUID, webhook_id: UUID) -> SealContext:
    """Return what sealed custom headers are bound to."""
    return SealContext(table="webhooks", column="sealed_headers", row_id=webhook_id, tenant_id=tenant_id)


def seal_headers(
    keyring: SealingKeyring, headers: Mapping[str, str], *, tenant_id: UUID, webhook_id: UUID
) -> bytes | None:
    """Return the sealed form of custom headers, None where there are none."""
    if not headers:
        return None
    return keyring.seal(
        orjson.dumps(dict(headers)), context=headers_context(tenant_id=tenant_id, webhook_id=webhook_id)
    )


def open_headers(keyring: SealingKeyring, sealed: bytes | None, *, tenant_id: UUID, webhook_id: UUID) -> dict[str, str]:
    """Return custom headers in clear; raises SealingError."""
    if sealed is None:
        return {}
    context = headers_context(tenant_id=tenant_id, webhook_id=webhook_id)
    headers: dict[str, str] = orjson.loads(keyring.open(sealed, context=context))
    return headers
