"""HTTP of webhooks."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, page_of
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.event_types.errors import UnknownEventType
from webhook_dispatcher.events.test_event import send_test_event
from webhook_dispatcher.resources import ApiResources, api_resources
from webhook_dispatcher.webhooks import repository, schemas
from webhook_dispatcher.webhooks.clearing import clear
from webhook_dispatcher.webhooks.errors import (
    DestinationNotAllowed,
    SecretMalformed,
    TooManySecrets,
    WebhookDisabled,
    WebhookLimitReached,
)
from webhook_dispatcher.webhooks.repository import PublicKey, Webhook
from webhook_dispatcher.webhooks.secrets import RevealedSecret

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictRoute)

Reader = Annotated[Caller, require("webhooks:read")]
Writer = Annotated[Caller, require("webhooks:write")]
Revealer = Annotated[Caller, require("webhooks:reveal")]
Resources = Annotated[ApiResources, Depends(api_resources)]

_NO_STORE = {"Cache-Control": "no-store"}
_CREDENTIAL_NAME = re.compile(r"auth|key|tok|secret|sig|pass|pwd|cred|access|session|private|cookie", re.IGNORECASE)
_CREDENTIAL_VALUE = re.compile(r"\S{16}")
"""No word of a plain value, such as a region or a version, is so long."""
_KEPT: dict[str, Any] = {"secret_fields": frozenset({"secret"}), "seen_with": "webhooks:read"}
MASK = "••••"


@router.post(
    "",
    status_code=201,
    response_model=schemas.WebhookCreated,
    responses=problem_responses(
        DestinationNotAllowed, SecretMalformed, WebhookLimitReached, IdempotencyInProgress, IdempotencyMismatch
    ),
    summary="Register a webhook",
)
async def create_webhook(
    body: schemas.WebhookIn,
    caller: Writer,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the secret with it; `secret/reveal` shows it again."""

    async def create() -> schemas.WebhookCreated:
        webhook, secret = await resources.webhooks.create(session, caller, body)
        return schemas.WebhookCreated(**_shown(webhook, body.headers).model_dump(), secret=secret)

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=create, **_KEPT)


@router.get("", responses=problem_responses(), summary="List webhooks")
async def list_webhooks(
    caller: Reader, session: Transaction, resources: Resources, query: Annotated[schemas.WebhookListQuery, Query()]
) -> Page[schemas.WebhookOut]:
    rows = await repository.find_page(
        session, realm=caller.realm, enabled=query.enabled, q=query.q, after=query.position, limit=query.limit + 1
    )
    shown = [_shown(row, resources.webhooks.headers_of(row)) for row in rows]
    return page_of(shown, limit=query.limit, position=lambda webhook: webhook.id, item=lambda webhook: webhook)


@router.get("/{webhook_id}", responses=problem_responses(NotFound), summary="Show a webhook")
async def get_webhook(
    webhook_id: schemas.WebhookIdInPath, caller: Reader, session: Transaction, resources: Resources
) -> schemas.WebhookOut:
    webhook = await resources.webhooks.get(session, caller.realm, webhook_id)
    return _shown(webhook, resources.webhooks.headers_of(webhook))


@router.patch("/{webhook_id}", responses=problem_responses(NotFound, DestinationNotAllowed), summary="Change a webhook")
async def change_webhook(
    webhook_id: schemas.WebhookIdInPath,
    body: schemas.WebhookPatch,
    caller: Writer,
    session: Transaction,
    resources: Resources,
) -> schemas.WebhookOut:
    """Only the fields that are sent change. Deliveries under way keep what they started with; the next attempt is new."""
    webhook = await resources.webhooks.change(session, caller, webhook_id, body)
    return _shown(webhook, resources.webhooks.headers_of(webhook))


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses(NotFound), summary="Delete a webhook")
async def delete_webhook(
    webhook_id: schemas.WebhookIdInPath, caller: Writer, session: Transaction, resources: Resources
) -> None:
    """Cancel what is pending or held; history stays until its retention ends."""
    cleared = await clear(resources.database, realm=caller.realm, webhook_id=webhook_id, only_disabled=False)
    await resources.webhooks.delete(session, caller, webhook_id, cleared=cleared)


@router.post("/{webhook_id}/enable", responses=problem_responses(NotFound), summary="Enable a webhook")
async def enable_webhook(
    webhook_id: schemas.WebhookIdInPath,
    caller: Writer,
    session: Transaction,
    resources: Resources,
    body: schemas.EnableIn | None = None,
) -> schemas.WebhookOut:
    """`pending: deliver` sends what was held, in order; `skip` cancels it. An enabled webhook that fails is tried at once."""
    cleared = None
    if body is not None and body.pending == "skip":
        cleared = await clear(resources.database, realm=caller.realm, webhook_id=webhook_id, only_disabled=True)
    webhook = await resources.webhooks.enable(session, caller, webhook_id, cleared=cleared)
    resources.wake_after_commit(session, [webhook.id])
    return _shown(webhook, resources.webhooks.headers_of(webhook))


@router.post("/{webhook_id}/disable", responses=problem_responses(NotFound), summary="Disable a webhook")
async def disable_webhook(
    webhook_id: schemas.WebhookIdInPath, caller: Writer, session: Transaction, resources: Resources
) -> schemas.WebhookOut:
    """Hold matching events from now on; nothing is dropped. Other webhooks that select `webhook.disabled` are told."""
    webhook, woken = await resources.webhooks.disable(session, caller, webhook_id, now=datetime.now(UTC))
    resources.wake_after_commit(session, woken)
    return _shown(webhook, resources.webhooks.headers_of(webhook))


@router.post("/{webhook_id}/secret/reveal", responses=problem_responses(NotFound), summary="Show the secret")
async def reveal_secret(
    webhook_id: schemas.WebhookIdInPath,
    caller: Revealer,
    session: Transaction,
    resources: Resources,
    response: Response,
) -> schemas.SecretOut:
    """Audited."""
    response.headers.update(_NO_STORE)
    return _secret(await resources.webhooks.reveal_secret(session, caller, webhook_id))


@router.post(
    "/{webhook_id}/secret/rotate",
    response_model=schemas.SecretOut,
    responses=problem_responses(NotFound, SecretMalformed, TooManySecrets, IdempotencyInProgress, IdempotencyMismatch),
    summary="Replace the secret",
)
async def rotate_secret(
    webhook_id: schemas.WebhookIdInPath,
    caller: Writer,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
    body: schemas.RotateIn | None = None,
) -> Response:
    """Sign with both during the overlap (24 h by default), the new one first."""

    async def rotate() -> schemas.SecretOut:
        wanted = body or schemas.RotateIn()
        return _secret(await resources.webhooks.rotate_secret(session, caller, webhook_id, wanted))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=rotate, status=200, **_KEPT)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=schemas.TestOut,
    responses=problem_responses(
        NotFound, UnknownEventType, WebhookDisabled, IdempotencyInProgress, IdempotencyMismatch
    ),
    summary="Send a test event",
)
async def test_webhook(
    webhook_id: schemas.WebhookIdInPath,
    body: schemas.TestIn,
    caller: Writer,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Sends the type's example to this webhook alone, whatever events it selects, marked `test`."""

    async def send() -> schemas.TestOut:
        webhook = await resources.webhooks.get(session, caller.realm, webhook_id)
        sent = await send_test_event(session, caller, webhook, event_type=body.event_type, now=datetime.now(UTC))
        resources.wake_after_commit(session, [webhook.id])
        return schemas.TestOut(event_id=sent.event_id, delivery_id=sent.delivery_id)

    return await answer_once(
        session, realm=caller.realm, key=idempotency_key, create=send, status=202, seen_with="deliveries:read"
    )


def _shown(webhook: Webhook, headers: dict[str, str]) -> schemas.WebhookOut:
    return schemas.WebhookOut(
        **{name: getattr(webhook, name) for name in _PLAIN_FIELDS},
        enabled=webhook.status == "enabled",
        ed25519=bool(webhook.public_keys),
        public_keys=_public_keys(webhook.public_keys),
        headers={name: MASK if _may_be_credential(name, value) else value for name, value in headers.items()},
    )


def _may_be_credential(name: str, value: str) -> bool:
    return bool(_CREDENTIAL_NAME.search(name) or _CREDENTIAL_VALUE.search(value))


_PLAIN_FIELDS = frozenset(schemas.WebhookOut.model_fields) - {*("enabled", "headers", "ed25519", "public_keys")}


def _secret(revealed: RevealedSecret) -> schemas.SecretOut:
    return schemas.SecretOut(
        secret=revealed.secret,
        created_at=revealed.created_at,
        previous_expires_at=revealed.previous_expires_at,
        public_keys=_public_keys(revealed.public_keys),
    )


def _public_keys(keys: Sequence[PublicKey]) -> list[schemas.PublicKeyOut]:
    return [schemas.PublicKeyOut(public_key=key.public_key, expires_at=key.expires_at) for key in keys]
