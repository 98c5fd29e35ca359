"""What signs a webhook's requests, kept sealed: its secrets, and its ed25519 keys where it has any."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.ed25519_signatures import SigningKey
from shared.sealing import SealingKeyring
from shared.webhook_signatures import MalformedSecretError, SigningSecret
from webhook_dispatcher.deliveries.wire_formats import WireFormat, parse_secret
from webhook_dispatcher.webhooks import repository
from webhook_dispatcher.webhooks.errors import SecretMalformed
from webhook_dispatcher.webhooks.repository import PublicKey, Webhook
from webhook_dispatcher.webhooks.sealing import secret_context


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedSecret:
    """A secret as its owner may see it, and the public halves of the keys that sign now."""

    secret: str = field(repr=False)
    created_at: datetime
    previous_expires_at: datetime | None = None
    public_keys: Sequence[PublicKey] = ()


class WebhookSecrets:
    """Makes, opens and ends them. A private key is never shown: whoever verifies needs the public one alone."""

    def __init__(self, keyring: SealingKeyring) -> None:
        self._keyring = keyring

    async def add_secret(self, session: AsyncSession, *, tenant_id: UUID, webhook_id: UUID, text: str) -> datetime:
        """Add a secret that signs from now on; returns when it was made."""
        return await self._insert(session, tenant_id=tenant_id, webhook_id=webhook_id, text=text, public_key=None)

    async def add_key(self, session: AsyncSession, *, tenant_id: UUID, webhook_id: UUID) -> PublicKey:
        """Make an ed25519 key that signs from now on; returns its public half."""
        key = SigningKey.generate()
        await self._insert(
            session, tenant_id=tenant_id, webhook_id=webhook_id, text=key.text, public_key=key.public_text
        )
        return PublicKey(public_key=key.public_text, expires_at=None)

    async def switch_keys(self, session: AsyncSession, webhook: Webhook, *, wanted: bool) -> None:
        """Make the first key of a webhook, or end all of its keys at once; nothing where it is as wanted."""
        if wanted and not webhook.public_keys:
            await self.add_key(session, tenant_id=webhook.tenant_id, webhook_id=webhook.id)
        if not wanted:
            await repository.delete_keys(session, webhook_id=webhook.id)

    async def newest(self, session: AsyncSession, webhook: Webhook) -> RevealedSecret:
        """Open the newest secret."""
        newest, *older = await repository.active_secrets(session, webhook_id=webhook.id)
        context = secret_context(tenant_id=webhook.tenant_id, secret_id=newest.id)
        return RevealedSecret(
            secret=self._keyring.open(newest.sealed_secret, context=context).decode(),
            created_at=newest.created_at,
            previous_expires_at=max((old.expires_at for old in older if old.expires_at), default=None),
            public_keys=webhook.public_keys,
        )

    async def replace(
        self, session: AsyncSession, webhook: Webhook, *, text: str, overlap_seconds: int
    ) -> RevealedSecret:
        """Put a new secret in the place of what signs now, and a new key where there is one; the others end after the overlap."""
        expires_at = await repository.expire_secrets(session, webhook_id=webhook.id, overlap_seconds=overlap_seconds)
        created_at = await self.add_secret(session, tenant_id=webhook.tenant_id, webhook_id=webhook.id, text=text)
        if webhook.public_keys:
            await self.add_key(session, tenant_id=webhook.tenant_id, webhook_id=webhook.id)
        changed = await repository.update(session, webhook, {})
        return RevealedSecret(
            secret=text, created_at=created_at, previous_expires_at=expires_at, public_keys=changed.public_keys
        )

    async def _insert(
        self, session: AsyncSession, *, tenant_id: UUID, webhook_id: UUID, text: str, public_key: str | None
    ) -> datetime:
        secret_id = typeids.new_id()
        context = secret_context(tenant_id=tenant_id, secret_id=secret_id)
        return await repository.insert_secret(
            session,
            secret_id=secret_id,
            webhook_id=webhook_id,
            sealed_secret=self._keyring.seal(text.encode(), context=context),
            public_key=public_key,
        )


def secret_text(webhook_format: WireFormat, own: SecretStr | None) -> str:
    """Return the secret to keep: the own one, checked for the format, or a new one. Raises SecretMalformed."""
    if own is None:
        return SigningSecret.generate().text
    text = own.get_secret_value()
    try:
        parse_secret(text, wire_format=webhook_format)
    except MalformedSecretError as exc:
        raise SecretMalformed(str(exc)) from exc
    return text
