"""Bodies of calls signed the older way have the limits of every other body, and are judged where they are read."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.types import Message

from shared.access import Caller, require
from shared.request_body import BODY_BYTES_MAX, StrictRoute, check_when_read, read_body
from support.apps import client_of
from support.mini_service import MiniResources

OWN_BYTES_MAX = 2 * BODY_BYTES_MAX

router = APIRouter(route_class=StrictRoute)


@router.post("/v1/raw", openapi_extra={"requestBody": {}})
async def keep_raw(request: Request, _caller: Annotated[Caller, require("webhooks:write")]) -> dict[str, object]:
    """Read the body itself, and say what was kept of it."""
    told: list[int] = []

    async def before_keeping(size: int) -> None:
        told.append(size)

    body = await read_body(request, bytes_max=OWN_BYTES_MAX, before_keeping=before_keeping)
    return {"size": len(body), "told": sorted(set(told))}


@pytest.fixture
def key(resources: MiniResources) -> str:
    """Return the key of a tenant that switched the older way on."""
    text = resources.access.new("webhooks:write", "webhooks:read")
    resources.access.principals[text] = replace(resources.access.principals[text], legacy_signatures=True)
    return text


@pytest.fixture
def client(app: FastAPI, key: str) -> httpx2.AsyncClient:
    """Return a client that calls the older way."""
    app.include_router(router)
    return client_of(app, headers={"key": key, "content-type": "application/json"})


def signature(body: bytes, key: str) -> dict[str, str]:
    """Return the header that signs a body."""
    return {"signature": "sha256=" + hmac.digest(key.encode(), body, hashlib.sha256).hex()}


async def test_a_signed_body_is_limited_like_any_other(client: httpx2.AsyncClient, key: str) -> None:
    """413 at the limit of the call, whatever others take; to the byte below it, the signature is what counts."""
    fits = b'{"name":"a"}'.ljust(BODY_BYTES_MAX)
    assert (await client.post("/v1/things", content=fits, headers=signature(fits, key))).status_code == 201
    over = fits + b" "
    answer = await client.post("/v1/things", content=over, headers=signature(over, key))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_call_that_reads_by_itself_keeps_its_own_account(client: httpx2.AsyncClient, key: str) -> None:
    """Its own limit, and piece by piece what it is told while the body comes, which is how it keeps within its budget."""
    pieces = [bytes(BODY_BYTES_MAX), b"x"]

    async def coming() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    kept = await client.post("/v1/raw", content=coming(), headers=signature(b"".join(pieces), key))
    assert kept.json() == {"size": BODY_BYTES_MAX + 1, "told": [BODY_BYTES_MAX, BODY_BYTES_MAX + 1]}
    over = bytes(OWN_BYTES_MAX + 1)
    assert (await client.post("/v1/raw", content=over, headers=signature(over, key))).status_code == 413


@pytest.mark.parametrize("path", ["/v1/things", "/v1/raw"])
@pytest.mark.parametrize("headers", [{}, {"signature": "sha256=00"}], ids=["none", "wrong"])
async def test_no_call_reads_a_body_that_is_not_signed(
    client: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    """The uniform 401, whoever reads it."""
    answer = await client.post(path, content=b'{"name":"a"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_the_verifier_is_told_why(client: httpx2.AsyncClient, resources: MiniResources, key: str) -> None:
    """The caller is not: a missing signature, the older way while it is off, and a foreign realm; nothing of what is in order."""
    assert (await client.get("/v1/things")).status_code == 200
    assert (await client.post("/v1/things", content=b'{"name":"a"}')).status_code == 401
    assert (await client.get("/v1/things", headers={"x-environment": "test"})).status_code == 403
    resources.access.principals[key] = replace(resources.access.principals[key], legacy_signatures=False)
    assert (await client.get("/v1/things")).status_code == 401
    assert resources.access.refusals == ["bad_signature", "tenant_mismatch", "legacy_off"]


async def test_a_body_that_was_read_before_its_signature_was_known_is_not_used() -> None:
    """That would be a fault of ours, and ends the request."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    request = Request({"type": "http", "headers": [], "state": {}}, receive)
    assert await read_body(request, bytes_max=2) == b"{}"
    with pytest.raises(RuntimeError):
        check_when_read(request, lambda _body: None)


async def test_a_body_that_is_not_taken_is_judged_too(client: httpx2.AsyncClient, key: str) -> None:
    """Before it is said that the call takes none."""
    for headers, status in (({}, 401), (signature(b'{"a":1}', key), 422)):
        answer = await client.request("GET", "/v1/things", content=b'{"a":1}', headers=headers)
        assert answer.status_code == status
    assert (await client.get("/v1/things")).status_code == 200
