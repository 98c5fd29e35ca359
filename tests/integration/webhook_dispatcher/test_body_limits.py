"""Bodies are limited while they are read: 16 MiB of events, 1 MiB of anything else."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from support.dispatcher_service import DispatcherService, Tenant

MIB = 1024 * 1024
BATCH_MAX = 16 * MIB
CHUNK = 64 * 1024


class Endless:
    """A body without end, and without Content-Length, that counts what was read of it."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.bytes_read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.first
        while True:
            self.bytes_read += CHUNK
            yield b" " * CHUNK


def _event(size: int) -> bytes:
    head, tail = b'{"type":"payment.failed","data":{"a":"', b'"}}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def _assert_too_large(answer: httpx2.Response, limit: int) -> None:
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert str(limit) in answer.json()["detail"]


async def test_an_endless_batch_is_not_read_on(service: DispatcherService, tenant: Tenant) -> None:
    """413 as soon as the limit is passed."""
    body = Endless(b'{"events":[')
    streaming = _streaming(service, service.publisher_key, tenant)
    answer = await streaming.post("/v1/events", content=body)
    _assert_too_large(answer, BATCH_MAX)
    assert body.bytes_read <= BATCH_MAX + 2 * CHUNK


async def test_an_endless_body_of_another_call_is_not_read_on(service: DispatcherService, tenant: Tenant) -> None:
    """The same at 1 MiB."""
    body = Endless(b'{"name":"x"')
    streaming = _streaming(service, tenant.owner.headers["x-api-key"], tenant)
    answer = await streaming.post("/v1/webhooks", content=body, headers={"content-type": "application/json"})
    _assert_too_large(answer, MIB)
    assert body.bytes_read <= MIB + 2 * CHUNK


def _streaming(service: DispatcherService, key: str, tenant: Tenant) -> httpx2.AsyncClient:
    client = service.client(key)
    if key == service.publisher_key:
        client.headers["x-tenant-id"] = tenant.id
    return client


async def test_a_body_that_says_it_is_too_large_is_not_read_at_all(service: DispatcherService, tenant: Tenant) -> None:
    """Content-Length is believed where it says too much."""
    for path, limit in (("/v1/events", BATCH_MAX), ("/v1/webhooks", MIB)):
        body = Endless(b"{")
        client = _streaming(service, tenant.owner.headers["x-api-key"], tenant)
        headers = {"content-type": "application/json", "content-length": str(limit + 1)}
        _assert_too_large(await client.post(path, content=body, headers=headers), limit)
        assert body.bytes_read <= CHUNK


async def test_nobody_sends_a_large_body_without_a_credential(service: DispatcherService) -> None:
    """401 before the body is read."""
    body = Endless(b'{"events":[')
    answer = await service.client().post("/v1/events", content=body)
    assert answer.status_code == 401
    assert body.bytes_read <= CHUNK


async def test_a_batch_of_sixteen_mebibytes_is_accepted(tenant: Tenant) -> None:
    """To the byte; one byte more is not."""
    frame = b'{"events":[' + b",".join([_event(MIB)] * 15) + b",]}"
    full = frame[:-2] + _event(BATCH_MAX - len(frame)) + b"]}"
    assert len(full) == BATCH_MAX
    _assert_too_large(await tenant.publisher.post("/v1/events", content=full + b" "), BATCH_MAX)
    answer = await tenant.publisher.post("/v1/events", content=full)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 16)


async def test_an_event_over_one_mebibyte_is_pointed_at(tenant: Tenant) -> None:
    """Alone and in a batch; the batch is refused whole."""
    alone = await tenant.publisher.post("/v1/events", content=_event(MIB + 1))
    batch = b'{"events":[' + _event(100) + b"," + _event(MIB + 1) + b"]}"
    batched = await tenant.publisher.post("/v1/events", content=batch)
    for answer, status, pointer in ((alone, 413, ""), (batched, 422, "/events/1")):
        assert answer.status_code == status
        assert answer.json()["errors"] == [{"pointer": pointer, "detail": f"an event has at most {MIB} bytes"}]
    assert (await tenant.owner.get("/v1/events")).json()["data"] == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "x"])
async def test_a_compressed_body_is_refused(tenant: Tenant, encoding: str) -> None:
    """415: what cannot be bounded while reading is not unpacked."""
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    for path in ("/v1/events", "/v1/webhooks"):
        answer = await tenant.owner.post(path, content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("headers", "status"), [(101, 431), (60, 200)])
async def test_headers_are_limited(tenant: Tenant, headers: int, status: int) -> None:
    """In number and in size."""
    many = {f"x-{number}": "v" for number in range(headers)}
    assert (await tenant.owner.get("/v1/webhooks", headers=many)).status_code == status
    assert (await tenant.owner.get("/v1/webhooks", headers={"x-a": "v" * 33_000})).status_code == 431
