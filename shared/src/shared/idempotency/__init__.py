"""Idempotency-Key on creating POSTs: the same key and body give the first answer again. Used by every service.

Everything happens in the request's own transaction: the object, and the memory of the answer, commit together or not at all.
The answer is kept without its secrets. Modelled on draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Principal, Realm
from shared.idempotency import repository
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, InsufficientScope, MalformedHeader
from shared.telemetry import CREDENTIAL_PATTERN, holds_secret

_FINGERPRINT_BYTES = 32
_SENDER_BYTES = 16
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """The header's value, what identifies the request it came with, and who sent it."""

    key: str
    fingerprint: bytes
    principal: Principal

    @property
    def sender(self) -> bytes:
        """Return what tells the senders apart beside the fingerprint."""
        return hashlib.sha256(self.principal.credential_id.encode()).digest()[:_SENDER_BYTES]


IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of 1-255 printable characters; a repeated request with it does nothing twice.",
        # Described and not enforced here: what breaks it is a malformed header, and no validation of a body.
        json_schema_extra={"pattern": r"^[\x21-\x7e]{1,255}$", "not": {"pattern": CREDENTIAL_PATTERN}},
    ),
]


def idempotency_key_of(request: Request, header: str | None, body: bytes) -> IdempotencyKey | None:
    """Return the key of an authenticated request whose body was read already; raises MalformedHeader."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise MalformedHeader("Idempotency-Key takes 1-255 printable ASCII characters without spaces.")
    if holds_secret(header):
        raise MalformedHeader("Idempotency-Key holds a credential, and would be kept; treat it as leaked.")
    identity = f"{request.method} {request.url.path}\0".encode() + body
    return IdempotencyKey(key=header, fingerprint=hashlib.sha256(identity).digest(), principal=request.state.principal)


async def _idempotency_key(request: Request, header: IdempotencyHeader = None) -> IdempotencyKey | None:
    return None if header is None else idempotency_key_of(request, header, await request.body())


OptionalIdempotencyKey = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]


async def answer_once(
    session: AsyncSession,
    *,
    realm: Realm,
    key: IdempotencyKey | None,
    create: Callable[[], Awaitable[BaseModel]],
    status: int = 201,
    secret_fields: frozenset[str] = frozenset(),
    seen_with: str | None = None,
) -> Response:
    """Run ``create`` unless this key was answered before; then give that answer again, without its secrets.

    ``secret_fields`` names fields of the body, those inside an object as ``object.field``. Another credential
    than the one that sent the first request gets the answer only with the scope ``seen_with``, where one is named.
    Raises IdempotencyMismatch for another body under the key, IdempotencyInProgress while the first one runs, and
    InsufficientScope for who may not see the answer.
    """
    headers = {"Cache-Control": "no-store"} if secret_fields else {}
    if key is None:
        return _json((await create()).model_dump(mode="json"), status, headers)
    if not await repository.try_lock(session, realm=realm, key=key.key):
        raise IdempotencyInProgress
    kept = await repository.find(session, realm=realm, key=key.key)
    if kept is not None:
        if kept.fingerprint[:_FINGERPRINT_BYTES] != key.fingerprint:
            raise IdempotencyMismatch
        is_its_own = kept.fingerprint[_FINGERPRINT_BYTES:] == key.sender
        if seen_with is not None and not is_its_own:
            demand_sight(key.principal, seen_with)
        return Response(
            kept.body,
            status_code=kept.status,
            media_type="application/json",
            headers={**headers, "Idempotency-Replayed": "true"},
        )
    body = (await create()).model_dump(mode="json")
    shown_again = orjson.dumps(_without(body, secret_fields))
    answer = repository.KeptAnswer(fingerprint=key.fingerprint + key.sender, status=status, body=shown_again)
    await repository.keep(session, realm=realm, key=key.key, answer=answer)
    return _json(body, status, headers)


def demand_sight(principal: Principal, seen_with: str) -> None:
    """Return if a credential that repeats another's request may see what it was answered; raises InsufficientScope."""
    if seen_with not in principal.scopes:
        raise InsufficientScope(seen_with)


def _without(body: dict[str, Any], fields: frozenset[str], inside: str = "") -> dict[str, Any]:
    return {
        name: _without(value, fields, f"{inside}{name}.") if isinstance(value, dict) else value
        for name, value in body.items()
        if f"{inside}{name}" not in fields
    }


def _json(body: object, status: int, headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json", headers=headers)
