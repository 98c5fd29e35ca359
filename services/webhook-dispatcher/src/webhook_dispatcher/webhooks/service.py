"""Rules of webhooks: what may be registered, how secrets are made and rotated, what enabling does with held deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.egress import AddressPolicy, DestinationRefused, parse_destination
from shared.problems import NotFound, ServiceUnavailable, ValidationFailed
from shared.sealing import SealingKeyring
from shared.telemetry import redact
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.deliveries import repository as deliveries
from webhook_dispatcher.deliveries.wire_formats import crm_slug
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types import repository as event_types
from webhook_dispatcher.events import operational
from webhook_dispatcher.events.service import RealmKeepsChangingError
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.webhooks import repository, selectors
from webhook_dispatcher.webhooks.clearing import STEP_MAX
from webhook_dispatcher.webhooks.errors import (
    DestinationNotAllowed,
    TooManySecrets,
    WebhookLimitReached,
)
from webhook_dispatcher.webhooks.repository import Webhook
from webhook_dispatcher.webhooks.schemas import RotateIn, WebhookIn, WebhookPatch
from webhook_dispatcher.webhooks.sealing import open_headers, seal_headers
from webhook_dispatcher.webhooks.secrets import RevealedSecret, WebhookSecrets, secret_text

WEBHOOKS_MAX = 500
"""Webhooks of a realm, deleted ones not counted. One event owes at most as many deliveries."""
_NO_FAILURES = {
    "failing_since": None,
    "failures_in_a_row": 0,
    "breaker_opened_at": None,
    "probe_at": None,
    "probe_delay_seconds": 0,
    "recovered_at": None,
}
"""The health of a webhook that begins anew."""
SECRETS_MAX = 10
"""Secrets that sign at once."""
_TIMEOUT_SECONDS_DEFAULT = 15
_TIMEOUT_SECONDS_DEFAULT_CRM = 10


class Webhooks:
    """The webhooks of one process; takes a session for each call."""

    def __init__(self, *, keyring: SealingKeyring, policy: AddressPolicy) -> None:
        self._keyring = keyring
        self._secrets = WebhookSecrets(keyring)
        self._policy = policy

    async def create(self, session: AsyncSession, caller: Caller, wanted: WebhookIn) -> tuple[Webhook, str]:
        """Register a webhook; returns it with its secret.

        Raises DestinationNotAllowed, SecretMalformed, WebhookLimitReached.
        """
        self._check_url(wanted.url)
        await self._check_selection(session, caller.realm, wanted.format, wanted.events)
        secret = secret_text(wanted.format, wanted.secret)
        if await repository.count_locked(session, realm=caller.realm) >= WEBHOOKS_MAX:
            raise WebhookLimitReached
        webhook_id = typeids.new_id()
        values = wanted.model_dump(exclude={"secret", "enabled", "ed25519", "headers", "timeout_seconds"})
        default = _TIMEOUT_SECONDS_DEFAULT_CRM if wanted.format == "crm" else _TIMEOUT_SECONDS_DEFAULT
        webhook = await repository.insert(
            session,
            {
                **values,
                "id": webhook_id,
                "tenant_id": caller.realm.tenant_id,
                "environment": caller.realm.environment,
                "lane": lane_of(webhook_id),
                "timeout_seconds": wanted.timeout_seconds or default,
                "sealed_headers": seal_headers(
                    self._keyring, wanted.headers, tenant_id=caller.realm.tenant_id, webhook_id=webhook_id
                ),
                "status": "enabled" if wanted.enabled else "disabled",
                "disabled_reason": None if wanted.enabled else "by request",
                "disabled_at": None if wanted.enabled else typeids.created_at(webhook_id),
                "created_by": caller.actor,
            },
        )
        await self._secrets.add_secret(session, tenant_id=webhook.tenant_id, webhook_id=webhook_id, text=secret)
        if wanted.ed25519:
            key = await self._secrets.add_key(session, tenant_id=webhook.tenant_id, webhook_id=webhook_id)
            webhook = replace(webhook, public_keys=[key])
        await _audit(session, caller, "webhook.created", webhook, {"url": webhook.url, "events": webhook.events})
        return webhook, secret

    async def get(self, session: AsyncSession, realm: Realm, webhook_id: UUID) -> Webhook:
        """Return a webhook; raises NotFound."""
        return _found(await repository.find(session, realm=realm, webhook_id=webhook_id))

    async def change(self, session: AsyncSession, caller: Caller, webhook_id: UUID, wanted: WebhookPatch) -> Webhook:
        """Change the fields that were sent; raises NotFound, DestinationNotAllowed."""
        webhook = await self._locked(session, caller.realm, webhook_id)
        changes: dict[str, Any] = wanted.model_dump(exclude_unset=True)
        if wanted.url is not None:
            self._check_url(wanted.url)
        if wanted.events is not None:
            await self._check_selection(session, caller.realm, webhook.format, wanted.events)
        audited = {name: value for name, value in changes.items() if name != "headers"}
        if "headers" in changes:
            headers = changes.pop("headers")
            changes["sealed_headers"] = seal_headers(
                self._keyring, headers, tenant_id=caller.realm.tenant_id, webhook_id=webhook_id
            )
            audited["headers"] = sorted(headers)
        if "ed25519" in changes:
            await self._secrets.switch_keys(session, webhook, wanted=changes.pop("ed25519"))
        changed = await repository.update(session, webhook, changes)
        await repository.hasten_probe(session, webhook_id=webhook_id)
        await _audit(session, caller, "webhook.changed", webhook, audited)
        return changed

    async def delete(self, session: AsyncSession, caller: Caller, webhook_id: UUID, *, cleared: int) -> None:
        """Delete a webhook, of which ``cleared`` deliveries were cancelled; history stays. Raises NotFound.

        What has come since is cancelled too; workers end what is left of very much, and what is in flight.
        """
        webhook = await self._locked(session, caller.realm, webhook_id)
        cancelled = cleared + await deliveries.cancel_pending_of(session, webhook_id=webhook_id, limit=STEP_MAX)
        # At last, since it holds up every other change of the realm.
        await repository.mark_deleted(session, webhook)
        await _audit(session, caller, "webhook.deleted", webhook, {"deliveries_cancelled": cancelled})

    async def enable(self, session: AsyncSession, caller: Caller, webhook_id: UUID, *, cleared: int | None) -> Webhook:
        """Enable a webhook: what was held is sent in order; raises NotFound.

        Unless ``cleared`` deliveries were cancelled: then what has come since is cancelled too.
        """
        webhook = await self._locked(session, caller.realm, webhook_id)
        cancelled = cleared or 0
        if webhook.status == "disabled":
            if cleared is not None:
                cancelled += await deliveries.cancel_pending_of(session, webhook_id=webhook_id, limit=STEP_MAX)
            enabled = {
                "status": "enabled",
                "enabled_at": datetime.now(UTC),
                "disabled_reason": None,
                "disabled_at": None,
                **_NO_FAILURES,
            }
            webhook = await repository.update(session, webhook, enabled)
        else:
            await repository.hasten_probe(session, webhook_id=webhook_id)
        await _audit(session, caller, "webhook.enabled", webhook, {"deliveries_cancelled": cancelled})
        return webhook

    async def disable(
        self, session: AsyncSession, caller: Caller, webhook_id: UUID, *, now: datetime
    ) -> tuple[Webhook, Sequence[UUID]]:
        """Disable a webhook: its deliveries are held from now on, and others are told.

        Returns it, and the webhooks that have work from that once it is committed. Raises NotFound, ServiceUnavailable.
        """
        webhook = await self._locked(session, caller.realm, webhook_id)
        woken: Sequence[UUID] = ()
        if webhook.status == "enabled":
            webhook = await repository.update(
                session, webhook, {"status": "disabled", "disabled_reason": "by request", "disabled_at": now}
            )
            about = operational.Subject(webhook_id=webhook.id, name=webhook.name, realm=caller.realm)
            try:
                woken = await operational.publish(session, [operational.disabled(about, at=now, reason="requested")])
            except RealmKeepsChangingError as exc:
                raise ServiceUnavailable from exc
        await _audit(session, caller, "webhook.disabled", webhook, {})
        return webhook, woken

    async def reveal_secret(self, session: AsyncSession, caller: Caller, webhook_id: UUID) -> RevealedSecret:
        """Show the newest secret; audited. Raises NotFound."""
        webhook = await self.get(session, caller.realm, webhook_id)
        revealed = await self._secrets.newest(session, webhook)
        await _audit(session, caller, "webhook.secret_revealed", webhook, {})
        return revealed

    async def rotate_secret(
        self, session: AsyncSession, caller: Caller, webhook_id: UUID, wanted: RotateIn
    ) -> RevealedSecret:
        """Replace the secret, and the ed25519 key of a webhook that has one; the old ones sign beside them for the overlap.

        Raises NotFound, SecretMalformed, TooManySecrets.
        """
        webhook = await self._locked(session, caller.realm, webhook_id)
        secret = secret_text(webhook.format, wanted.secret)
        signing = len(await repository.active_secrets(session, webhook_id=webhook_id))
        if wanted.overlap_seconds and signing >= SECRETS_MAX:
            raise TooManySecrets
        rotated = await self._secrets.replace(session, webhook, text=secret, overlap_seconds=wanted.overlap_seconds)
        await _audit(session, caller, "webhook.secret_rotated", webhook, {"overlap_seconds": wanted.overlap_seconds})
        return rotated

    def headers_of(self, webhook: Webhook) -> dict[str, str]:
        """Open the custom headers of a webhook."""
        return open_headers(self._keyring, webhook.sealed_headers, tenant_id=webhook.tenant_id, webhook_id=webhook.id)

    def _check_url(self, url: str) -> None:
        if redact(url) != url:
            # A URL is shown, logged and audited: no place for one of our own credentials.
            raise DestinationNotAllowed("The URL holds a credential; treat that one as leaked.")
        try:
            parse_destination(url, policy=self._policy)
        except DestinationRefused as exc:
            raise DestinationNotAllowed(str(exc)) from exc

    async def _check_selection(
        self, session: AsyncSession, realm: Realm, webhook_format: str, events: Sequence[str]
    ) -> None:
        if not all(map(selectors.matches_known_type, events)):
            own = await event_types.names(session, realm=realm)
            unknown = [selector for selector in events if not selectors.matches_known_type(selector, own)]
            if unknown:
                detail = f"{unknown[0]!r} matches no event type"
                raise ValidationFailed(errors=[{"pointer": "/events", "detail": detail}])
        check_selection(webhook_format, events)

    async def _locked(self, session: AsyncSession, realm: Realm, webhook_id: UUID) -> Webhook:
        return _found(await repository.find(session, realm=realm, webhook_id=webhook_id, for_update=True))


def check_selection(webhook_format: str, events: Sequence[str]) -> None:
    """Refuse selectors that the format has no envelope for; raises ValidationFailed pointing at them.

    The CRM's envelope is defined for request functions alone, and is never guessed for others.
    """
    if webhook_format != "crm":
        return
    for index, selector in enumerate(events):
        covered = [kind.name for kind in catalogue.all_types() if selectors.selects(selector, kind.name)]
        # What covers none of the built-in types is there for own ones.
        if not covered or not all(map(crm_slug, covered)):
            detail = f"{selector!r} covers event types that the crm format has no envelope for"
            raise ValidationFailed(errors=[{"pointer": f"/events/{index}", "detail": detail}])


def _found(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise NotFound
    return webhook


async def _audit(
    session: AsyncSession, caller: Caller, action: str, webhook: Webhook, changes: Mapping[str, Any]
) -> None:
    target = typeids.encode("wh", webhook.id)
    await audit.record(session, caller, action=action, target=target, changes=changes)
