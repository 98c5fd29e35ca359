"""What sending needs of a webhook: its configuration with the secrets opened, kept in a worker's memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.ed25519_signatures import SigningKey
from shared.sealing import SealingKeyring
from shared.webhook_signatures import SigningSecret
from webhook_dispatcher.deliveries.wire_formats import SigningConfig, WireFormat, parse_secret
from webhook_dispatcher.webhooks.sealing import open_headers, secret_context


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """A webhook's row as a worker reads it; secrets newest first, still sealed."""

    id: UUID
    tenant_id: UUID
    revision: int
    name: str
    url: str
    format: WireFormat
    crm_signature: Literal["hex", "prefixed"]
    signature_header: str | None
    sealed_headers: bytes | None
    retry_delays_seconds: Sequence[int]
    timeout_seconds: int
    max_in_flight: int
    rate_per_second: int | None
    ordered: bool
    enabled_at: datetime | None
    recovered_at: datetime | None
    secret_ids: Sequence[UUID] | None
    sealed_secrets: Sequence[bytes] | None
    secret_expiries: Sequence[datetime | None] | None
    secret_kinds: Sequence[Literal["hmac", "ed25519"]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A webhook ready to be sent to. ``valid_until`` is when the first of its secrets ends (unix seconds)."""

    id: UUID
    revision: int
    name: str
    url: str
    wire_format: WireFormat
    signing: SigningConfig = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    retry_delays_seconds: Sequence[int]
    timeout_seconds: int
    max_in_flight: int
    rate_per_second: int | None
    ordered: bool = False
    enabled_at: datetime | None
    """When it was last enabled after being disabled."""
    valid_until: float
    recovered_at: datetime | None = None
    """When its breaker last closed."""

    def is_current(self, revision: int) -> bool:
        """Tell whether this is what the database holds at ``revision``, now."""
        return self.revision == revision and time.time() < self.valid_until


def open_target(stored: StoredTarget, keyring: SealingKeyring) -> Target:
    """Open the sealed parts; raises SealingError, and ValueError for a webhook without an active secret."""
    secrets: list[SigningSecret] = []
    signing_keys: list[SigningKey] = []
    kept = zip(stored.secret_ids or (), stored.sealed_secrets or (), stored.secret_kinds or (), strict=True)
    for secret_id, sealed, kind in kept:
        text = keyring.open(sealed, context=secret_context(tenant_id=stored.tenant_id, secret_id=secret_id)).decode()
        if kind == "ed25519":
            signing_keys.append(SigningKey.parse(text))
        else:
            secrets.append(parse_secret(text, wire_format=stored.format))
    return Target(
        id=stored.id,
        revision=stored.revision,
        name=stored.name,
        url=stored.url,
        wire_format=stored.format,
        signing=SigningConfig(
            wire_format=stored.format,
            secrets=secrets,
            crm_form=stored.crm_signature,
            signature_header=stored.signature_header,
            signing_keys=signing_keys,
        ),
        headers=open_headers(keyring, stored.sealed_headers, tenant_id=stored.tenant_id, webhook_id=stored.id),
        retry_delays_seconds=stored.retry_delays_seconds,
        timeout_seconds=stored.timeout_seconds,
        max_in_flight=stored.max_in_flight,
        rate_per_second=stored.rate_per_second,
        ordered=stored.ordered,
        enabled_at=stored.enabled_at,
        recovered_at=stored.recovered_at,
        valid_until=min((end.timestamp() for end in stored.secret_expiries or () if end), default=float("inf")),
    )
