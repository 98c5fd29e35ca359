"""What surrounds every request: ids, limits, one credential and never in the URL, one form of errors, no secret in a log."""

import io
import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import key_format
from shared.request_body import BODY_BYTES_MAX
from shared.request_envelope import HEADER_BYTES_MAX, HEADER_COUNT_MAX
from shared.strict_json import DEPTH_MAX
from support.apps import client_of
from support.mini_service import SECRET, MiniResources, mini_service

_CANARY_HEAD = "cw_sk_live_" + "CanaryThatMustBeSeenNowhere".ljust(key_format.BODY_CHARS, "x")
CANARY = _CANARY_HEAD + key_format.checksum(_CANARY_HEAD)


@pytest.fixture
def key(resources: MiniResources) -> str:
    """Return a key that may do everything here."""
    return resources.access.new("webhooks:write", "webhooks:read")


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code, having checked the form."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/problems/{body['code']}"
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], (401, "unauthorized")),
        ([("x-api-key", "")], (401, "unauthorized")),
        ([("x-api-key", "nonsense")], (401, "unauthorized")),
        ([("x-api-key", CANARY)], (401, "unauthorized")),
        ([("authorization", "Basic a2V5OmtleQ==")], (401, "unauthorized")),
        ([("authorization", f"Bearer {CANARY}")], (401, "unauthorized")),
        ([("x-api-key", CANARY), ("authorization", f"Bearer {CANARY}")], (400, "multiple_credentials")),
        ([("x-api-key", CANARY), ("x-api-key", CANARY)], (400, "duplicate_header")),
        ([("authorization", f"Bearer {CANARY}"), ("authorization", f"Bearer {CANARY}")], (400, "duplicate_header")),
        ([("x-tenant-id", "a"), ("x-tenant-id", "b")], (400, "duplicate_header")),
        ([("idempotency-key", "a"), ("idempotency-key", "b")], (400, "duplicate_header")),
        ([("x-request-id", "a b")], (400, "malformed_header")),
        ([("x-request-id", "x" * 129)], (400, "malformed_header")),
        ([("x-filler", "x" * HEADER_BYTES_MAX)], (431, "headers_too_large")),
        ([(f"x-filler-{number}", "x") for number in range(HEADER_COUNT_MAX)], (431, "headers_too_large")),
    ],
)
async def test_one_sound_credential_and_sound_headers(
    app: FastAPI, headers: list[tuple[str, str]], expected: tuple[int, str]
) -> None:
    """Everything else has its problem, and a 401 asks for a credential."""
    answer = await client_of(app).get("/v1/things", headers=headers)
    assert problem(answer) == expected
    assert ("www-authenticate" in answer.headers) == (expected[0] == 401)


@pytest.mark.parametrize(
    "url",
    [
        f"/v1/things?api_key={CANARY}",
        f"/v1/things?anything={CANARY}",
        f"/v1/things?a=1&access_token={CANARY}",
        "/v1/things?token=short",
        f"/v1/things?q={CANARY.replace('_', '%5f')}",
        f"/v1/{CANARY}",
        f"/{CANARY}/things",
    ],
)
async def test_a_credential_in_the_url_is_refused_and_never_logged(
    app: FastAPI, key: str, url: str, log: io.StringIO
) -> None:
    """Even when a good one stands in the header."""
    answer = await client_of(app, headers={"x-api-key": key}).get(url)
    assert problem(answer) == (400, "credential_in_url")
    logged = log.getvalue()
    assert "http.request" in logged
    assert CANARY[11:38] not in logged + answer.text


async def test_the_request_id_is_taken_or_made(app: FastAPI, key: str, log: io.StringIO) -> None:
    """It is in the answer and in the log."""
    client = client_of(app, headers={"x-api-key": key})
    given = await client.get("/v1/things", headers={"x-request-id": "abc.1:2_3-4"})
    assert given.headers.get_list("x-request-id") == ["abc.1:2_3-4"]
    made = [(await client.get("/v1/things")).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    logged = [line["request_id"] for line in lines if line["event"] == "http.request"]
    assert logged == ["abc.1:2_3-4", *made]


async def test_a_key_as_request_id_is_not_echoed(app: FastAPI, log: io.StringIO) -> None:
    """Somebody mixed up two headers; the key must not spread."""
    answer = await client_of(app).get("/v1/things", headers={"x-request-id": CANARY})
    assert CANARY not in str(answer.headers) + answer.text + log.getvalue()


async def test_an_unexpected_fault_shows_nothing(app: FastAPI, key: str, log: io.StringIO) -> None:
    """500 with the request id; neither the answer nor the log holds the caller's key."""
    answer = await client_of(app, headers={"x-api-key": key}).post("/v1/things", json={"name": "a", "fail": True})
    assert problem(answer) == (500, "internal_error")
    assert SECRET not in answer.text
    logged = log.getvalue()
    assert "http.request_failed" in logged
    assert key not in logged


async def test_without_credentials_service_nothing_is_done(app: FastAPI, key: str, resources: MiniResources) -> None:
    """503 with Retry-After."""
    resources.access.available = False
    answer = await client_of(app, headers={"x-api-key": key}).post("/v1/things", json={"name": "a"})
    assert problem(answer) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b'{"name": "a", "name": "b"}', "/name"),
        (b'{"name": "a", "other": 1}', "/other"),
        (b'{"name": 1}', "/name"),
        (b"{}", "/name"),
        (b'{"name": "nul \\u0000"}', "/name"),
        (b'{"name": "\xff"}', ""),
        (b'{"name": "\\ud800"}', ""),
        (b'{"name": NaN}', ""),
        (b"[]", ""),
        (b"", ""),
        (b"{", ""),
        (b'{"name": ' + b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1) + b"}", None),
    ],
)
async def test_a_malformed_body_is_pointed_at(app: FastAPI, key: str, content: bytes, pointer: str | None) -> None:
    """422 that names the place."""
    headers = {"x-api-key": key, "content-type": "application/json"}
    answer = await client_of(app, headers=headers).post("/v1/things", content=content)
    assert problem(answer) == (422, "validation_failed")
    assert pointer is None or answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_only_json_is_read(app: FastAPI, key: str, content_type: str) -> None:
    """415 for what does not say that it is JSON."""
    headers = {"x-api-key": key, "content-type": content_type}
    answer = await client_of(app, headers=headers).post("/v1/things", content=b'{"name": "a"}')
    assert problem(answer) == (415, "unsupported_media_type")


async def test_a_compressed_body_is_not_read(app: FastAPI, key: str) -> None:
    """No decompression, hence no bomb."""
    headers = {"x-api-key": key, "content-type": "application/json", "content-encoding": "gzip"}
    answer = await client_of(app, headers=headers).post("/v1/things", content=b"x")
    assert problem(answer) == (415, "unsupported_media_type")


async def test_reading_stops_at_the_limit(app: FastAPI, key: str) -> None:
    """A declared length is refused unread; an undeclared one is read up to the limit and no further."""
    client = client_of(app, headers={"x-api-key": key, "content-type": "application/json"})
    declared = await client.post("/v1/things", content=b"x" * (BODY_BYTES_MAX + 1))
    assert problem(declared) == (413, "payload_too_large")
    read = await _bytes_read_of_an_endless_body(app, key)
    assert BODY_BYTES_MAX < read <= BODY_BYTES_MAX + 2 * 65_536


async def test_unknown_paths_and_methods(app: FastAPI, key: str) -> None:
    """404 and 405 are problems as well."""
    client = client_of(app, headers={"x-api-key": key})
    assert problem(await client.get("/v1/nothing")) == (404, "not_found")
    answer = await client.delete("/v1/things")
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("socket_ip", "forwarded", "expected"),
    [
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("127.0.0.1", "192.0.2.1", "127.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.66, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.66, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "nonsense, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
    ],
)
async def test_the_client_address_is_what_a_trusted_proxy_saw(
    database_url: str, socket_ip: str, forwarded: str, expected: str
) -> None:
    """Read from the right; whatever the caller wrote further left does not count, nor does an untrusted neighbour."""
    async with mini_service(database_url, trusted_proxies=("10.0.0.0/8",)) as app:
        key = app.state.resources.access.new("webhooks:read")
        client = client_of(app, headers={"x-api-key": key, "x-forwarded-for": forwarded}, client_ip=socket_ip)
        assert (await client.get("/v1/things")).json()["ip"] == expected


async def test_health_and_documentation(app: FastAPI) -> None:
    """Live, ready, metrics with bounded labels, and a documentation page without foreign addresses."""
    client = client_of(app)
    assert (await client.get("/livez")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok", "failing": {}}
    await client.get("/v1/nothing-1")
    metrics = (await client.get("/metrics")).text
    assert 'causeway_http_requests_total{method="GET",route="/livez",status="200"}' in metrics
    assert "nothing-1" not in metrics
    page = (await client.get("/docs")).text
    assert "https://" not in page.replace("https://fastapi.tiangolo.com/img/favicon.png", "")


async def test_readiness_names_the_failing_part(app: FastAPI, resources: MiniResources) -> None:
    """503 with the part that does not answer."""

    async def fail() -> None:
        raise ConnectionRefusedError

    resources.checks = lambda: {"database": resources.database.check, "other": fail}  # type: ignore[method-assign]  # one failing part
    answer = await client_of(app).get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, {"other": "ConnectionRefusedError"})


async def _bytes_read_of_an_endless_body(app: FastAPI, key: str) -> int:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"x-api-key", key.encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/things",
        "raw_path": b"/v1/things",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("service", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # plain ASGI messages
    assert sent[0]["status"] == 413
    return read


async def test_no_call_leaves_by_the_telemetry_of_the_framework(
    app: FastAPI, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the process has providers that export everything: they would be told what callers sent."""
    spans, measured = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([measured])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    async with client_of(app, headers={"x-api-key": key}) as client:
        assert (await client.post("/v1/things", json={"name": CANARY})).status_code == 201
        assert (await client.post("/v1/things", json={"name": CANARY, "fail": True})).status_code == 500
    assert spans.get_finished_spans() == ()
    assert measured.get_metrics_data() is None
