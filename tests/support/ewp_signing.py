"""Requests and answers of ewp/1 with their signatures, for tests of those."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shared.ewp.nonces import NonceMemory
from shared.ewp.signatures import (
    Request,
    Verified,
    sign_request,
    sign_response,
    verify_request,
    verify_response,
)
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey, SigningKey, VerifyingKey

NOW = 1_800_000_000
NEW = HmacKey.of_text("ewk_new", "the new key, wholly made up")
OLD = HmacKey.of_text("ewk_old", "the old key, wholly made up")
SEED = base64.b64encode(bytes(range(32))).decode()
PRIVATE = Ed25519SigningKey.of_base64("ewk_ed", SEED)
PUBLIC = Ed25519VerifyingKey("ewk_ed", PRIVATE.private_key.public_key())
BODY = b'{"op":"debit","amount":"10.50"}'
PLAIN = Request(
    method="PUT", scheme="https", authority="wallet.example", target="/base/v1/transfers/tr_1.a.1?x=1", body=BODY
)


def signed(request: Request = PLAIN, *keys: SigningKey, created: int = NOW, nonce: str | None = None) -> Request:
    """Return the request with its signatures."""
    headers = sign_request(keys or (NEW,), request, created=created, nonce=nonce)
    return replace(request, headers=tuple(headers.items()))


def verify(request: Request, *keys: VerifyingKey, now: float = NOW, nonces: NonceMemory | None = None) -> Verified:
    """Verify under these keys."""
    return verify_request(request, keys={key.key_id: key for key in keys or (NEW,)}, now=now, nonces=nonces)


def with_header(request: Request, name: str, change: Callable[[str], str | None]) -> Request:
    """Return the request with one field changed, or without it."""
    fields = [(key, change(value) if key == name else value) for key, value in request.headers]
    return replace(request, headers=tuple((key, value) for key, value in fields if value is not None))


def answered(request: Request, *, status: int = 200, body: bytes = b"{}", key: SigningKey = NEW) -> dict[str, Any]:
    """Return what verify_response wants of an answer to ``request``."""
    signature = dict(request.headers)["signature"]
    headers = sign_response(key, status=status, body=body, request_signature=signature, created=NOW)
    return {"status": status, "body": body, "headers": tuple(headers.items()), "request_signature": signature}


def verify_answer(answer: dict[str, Any], *keys: VerifyingKey, now: float = NOW) -> Verified:
    """Verify under these keys."""
    return verify_response(**answer, keys={key.key_id: key for key in keys or (NEW,)}, now=now)
