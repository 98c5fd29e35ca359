"""Uploads that do not go on hold up nobody: neither other tenants nor their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from support.apps import on_socket
from support.dispatcher_service import DispatcherService, Tenant, payment
from support.served_time import served_clock
from support.slow_sender import slow_post

MIB = 1024 * 1024


@pytest.fixture
async def url(service: DispatcherService) -> AsyncIterator[str]:
    """Return where the service listens."""
    async with on_socket(service.app, started=True) as listening:
        yield listening


@pytest.mark.parametrize("sent", [b"{", b" " * 3 * MIB], ids=["first byte", "three MiB"])
async def test_slow_uploads_do_not_delay_a_publish(
    service: DispatcherService, tenant: Tenant, url: str, sent: bytes
) -> None:
    """Sixteen of them, each of 16 MB by its own word: an event of the same key, and of another, is taken at once."""
    other = await service.new_tenant()
    key = {"x_api_key": service.publisher_key, "x_tenant_id": tenant.id, "content_length": "16000000"}
    async with AsyncExitStack() as stack:
        for _ in range(4 if len(sent) > 1 else 16):
            sender = await stack.enter_async_context(slow_post(url, "/v1/events", **key))
            await sender.send(sent)
        await asyncio.sleep(0.3)
        async with served_clock() as clock:
            assert (await tenant.publish(payment(1)))["accepted"] == 1
            assert (await other.publish(payment(1)))["accepted"] == 1
            assert clock.now() < 1


async def test_one_tenant_that_fills_its_half_leaves_the_other(
    service: DispatcherService, tenant: Tenant, url: str
) -> None:
    """Uploads of 12 MiB that stop: the tenant itself is told 503 in the end, another notices nothing."""
    budget = service.resources.publish_budget
    other = await service.new_tenant()
    key = {"x_api_key": service.publisher_key, "x_tenant_id": tenant.id, "content_length": "16000000"}
    async with AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(slow_post(url, "/v1/events", **key)) for _ in range(5)]
        sending = [asyncio.create_task(sender.send(b" " * 12 * MIB)) for sender in senders]
        answers = [asyncio.create_task(sender.answer()) for sender in senders]
        await asyncio.sleep(1)
        assert budget.used_bytes <= service.app.state.settings.publish_bytes_in_flight
        async with served_clock() as clock:
            assert (await other.publish(payment(1)))["accepted"] == 1
            assert clock.now() < 1
        done, waiting = await asyncio.wait(answers, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        status, text = done.pop().result()
        assert status == 503
        assert "retry-after" in text
        for task in (*waiting, *sending):
            task.cancel()
        await asyncio.gather(*waiting, *sending, return_exceptions=True)
    async with asyncio.timeout(5):
        while budget.used_bytes:  # noqa: ASYNC110 - the budget signals those who wait for room alone
            await asyncio.sleep(0.02)


async def test_bodies_that_together_pass_the_budget_are_all_taken(tenant: Tenant) -> None:
    """Bodies that grow side by side never wait for each other until none of them is whole."""
    body = b'{"events":[' + b",".join([_padded(number) for number in range(14)]) + b"]}"
    answers = await asyncio.gather(*(tenant.publisher.post("/v1/events", content=body) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}


def _padded(number: int) -> bytes:
    return b'{"id":"big-%d","type":"payment.succeeded","data":{"a":"%s"}}' % (number, b"x" * 1_000_000)
