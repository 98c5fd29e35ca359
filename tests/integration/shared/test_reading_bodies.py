"""Who calls comes before what is sent; a body has a time as well as a size; one that is not taken is not ignored."""

import asyncio
import io
import json
from typing import Any

import pytest
from fastapi import FastAPI

from shared import request_body
from shared.access import Principal
from shared.request_body import BODY_BYTES_MAX
from support.apps import client_of, on_socket
from support.mini_service import MiniResources
from support.slow_sender import slow_post

BAD_BODIES = [
    b"{",
    b'{"name":"a","name":"b"}',
    b'{"name":"a","other":1}',
    b"\xff",
    b" " * (BODY_BYTES_MAX + 1),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=["malformed", "duplicate", "unknown", "not UTF-8", "oversized"])
async def test_who_calls_is_judged_before_the_body(app: FastAPI, resources: MiniResources, body: bytes) -> None:
    """Whatever was sent: 401 without a credential, 403 without the scope."""
    headers = {"content-type": "application/json"}
    nobody = await client_of(app, headers=headers).post("/v1/things", content=body)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthorized")
    reader = client_of(app, headers={**headers, "x-api-key": resources.access.new("webhooks:read")})
    lacking = await reader.post("/v1/things", content=body)
    assert (lacking.status_code, lacking.json()["code"]) == (403, "insufficient_scope")


async def test_a_credential_is_verified_once(
    app: FastAPI, resources: MiniResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found before the body was read serves the route too."""
    asked = []
    verify = resources.access.verify

    async def counted(credential: str, **rest: Any) -> Principal | None:
        asked.append(credential)
        return await verify(credential, **rest)

    monkeypatch.setattr(resources.access, "verify", counted)
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write")})
    assert (await client.post("/v1/things", json={"name": "a"})).status_code == 201
    assert len(asked) == 1


async def test_a_slow_body_of_nobody_ends_at_once(app: FastAPI) -> None:
    """The 401 does not wait for the body, and the connection does not stay for it."""
    async with on_socket(app, started=True) as url, slow_post(url, "/v1/things") as sender:
        await sender.send(b"{")
        async with asyncio.timeout(2):
            status, text = await sender.answer()
    assert status == 401
    assert "connection: close" in text


@pytest.mark.parametrize("piece", [b"", b" "], ids=["nothing", "a drip"])
async def test_a_slow_body_is_given_up(
    app: FastAPI, resources: MiniResources, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    """408 `request_timeout`, and the connection is closed."""
    monkeypatch.setattr(request_body, "BODY_SECONDS_FREE", 0.4)
    key = resources.access.new("webhooks:write")
    async with on_socket(app, started=True) as url, slow_post(url, "/v1/things", x_api_key=key) as sender:
        dripping = asyncio.create_task(sender.drip(piece, every_seconds=0.05))
        async with asyncio.timeout(3):
            status, text = await sender.answer()
        dripping.cancel()
    assert (status, json.loads(text.partition("\r\n\r\n")[2])["code"]) == (408, "request_timeout")
    assert "connection: close" in text


async def test_a_steady_body_has_a_last_moment_too(
    app: FastAPI, resources: MiniResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it is: 64 KiB buy more than a minute, and the maximum ends it all the same."""
    monkeypatch.setattr(request_body, "BODY_SECONDS_MAX", 0.5)
    key = resources.access.new("webhooks:write")
    async with (
        on_socket(app, started=True) as url,
        slow_post(url, "/v1/things", x_api_key=key) as sender,
    ):
        await sender.send(b" " * 65536)
        dripping = asyncio.create_task(sender.drip(b" " * 1024, every_seconds=0.05))
        status, _ = await sender.answer()
        dripping.cancel()
    assert status == 408


async def test_a_slow_body_in_time_is_taken(
    app: FastAPI, resources: MiniResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than the free time allows, but at the pace that is wanted."""
    monkeypatch.setattr(request_body, "BODY_SECONDS_FREE", 0.2)
    key, body = resources.access.new("webhooks:write"), b'{"name":"a"}'
    length = str(4 * 1024 + len(body))
    async with (
        on_socket(app, started=True) as url,
        slow_post(url, "/v1/things", x_api_key=key, content_length=length, connection="close") as sender,
    ):
        for _ in range(4):
            await sender.send(b" " * 1024)
            await asyncio.sleep(0.2)
        await sender.send(body)
        status, _ = await sender.answer()
    assert status == 201


async def test_a_key_that_is_revoked_during_its_upload_does_nothing(app: FastAPI, resources: MiniResources) -> None:
    """A revocation is in force within a second, and an upload may take thirty."""
    key, body = resources.access.new("webhooks:write"), b'{"name":"a"}'
    async with (
        on_socket(app, started=True) as url,
        slow_post(url, "/v1/things", x_api_key=key, content_length=str(len(body)), connection="close") as sender,
    ):
        await sender.send(body[:-1])
        await asyncio.sleep(0.5)
        del resources.access.principals[key]
        await sender.send(body[-1:])
        status, _ = await sender.answer()
    assert status == 401


async def test_a_caller_that_goes_away_is_no_fault(app: FastAPI, resources: MiniResources, log: io.StringIO) -> None:
    """One quiet line with 499, in the metrics too, and no traceback."""
    key = resources.access.new("webhooks:write")
    async with on_socket(app, started=True) as url:
        async with slow_post(url, "/v1/things", x_api_key=key) as sender:
            await sender.send(b"{")
            await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            while "499" not in log.getvalue():  # noqa: ASYNC110 - a log signals nobody
                await asyncio.sleep(0.02)
    lines = [line for line in map(json.loads, log.getvalue().splitlines()) if "request_id" in line]
    assert [(line["event"], line["status"], line["level"]) for line in lines] == [("http.request", 499, "info")]
    assert "Traceback" not in log.getvalue()
    metrics = (await client_of(app).get("/metrics")).text
    assert 'status="499"' in metrics
    assert 'status="500"' not in metrics


async def test_a_body_that_was_read_leaves_the_connection_open(app: FastAPI, resources: MiniResources) -> None:
    """Only an answer that comes before the end of the body closes."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write", "webhooks:read")})
    assert "connection" not in (await client.post("/v1/things", json={"name": "a"})).headers
    assert "connection" not in (await client.post("/v1/things", json={"nom": "a"})).headers
    assert "connection" not in (await client.get("/v1/things")).headers


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", None),
        (b" \n", None),
        (b"{}", None),
        (b'{"a~/b":1}', ["/a~0~1b"]),
        (b"[]", [""]),
        (b"1", [""]),
        (b'{"a":1,"a":2}', ["/a"]),
        (b'{"a":', [""]),
    ],
)
async def test_a_body_is_refused_where_none_is_taken(
    app: FastAPI, resources: MiniResources, body: bytes, pointers: list[str] | None
) -> None:
    """422 that points at what is too much; an empty object is nothing."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:read")})
    answer = await client.request("GET", "/v1/things", content=body)
    if pointers is None:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == pointers


async def test_unknown_query_parameters_are_refused(app: FastAPI, resources: MiniResources) -> None:
    """On every call, each by its name; a caller without a credential learns nothing of it."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:read", "webhooks:write")})
    answer = await client.get("/v1/things?foo=1&bar=&foo=2")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["query/foo", "query/bar"]
    assert (await client.post("/v1/things?foo=1", json={"name": "a"})).status_code == 422
    assert (await client_of(app).get("/v1/things?foo=1")).status_code == 401
