"""The commands for publishers and integrators, as processes of their own: ``python -m webhook_dispatcher …``."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest
import standardwebhooks
from redis.asyncio import Redis

from shared.webhook_signatures import SigningSecret, crm_signature, timestamped_signature
from support.apps import on_socket
from support.credentials_service import credentials_service
from support.credentials_service import settings_for as credentials_settings_for
from support.databases import Databases
from support.dispatcher_service import DispatcherService, Tenant, dispatcher_service, payment, settings_for

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_SECONDS = 30.0


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[DispatcherService]:
    """Return a running dispatcher whose webhooks may lead to loopback."""
    async with (
        databases.temporary("credentials") as credentials_url,
        databases.temporary("webhook_dispatcher") as url,
        credentials_service(credentials_settings_for(credentials_url)) as credentials,
    ):
        settings = settings_for(url).model_copy(update={"egress_allow_cidrs": (ip_network("127.0.0.0/8"),)})
        async with dispatcher_service(settings, credentials) as running:
            yield running


@pytest.fixture(scope="module")
async def url(service: DispatcherService) -> AsyncIterator[str]:
    """Return where its API listens."""
    async with on_socket(service.app, started=True) as base_url:
        yield base_url


async def _run(*arguments: str, stdin: bytes = b"", **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webhook_dispatcher", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def _key(tenant: Tenant) -> str:
    return str(tenant.owner.headers["x-api-key"])


async def test_an_event_is_published_over_http(tenant: Tenant, url: str) -> None:
    """Its bytes arrive as they were written, and the same id again changes nothing."""
    arguments = (
        "publish",
        "payment.succeeded",
        '{"amount": 1.10}',
        "--tenant-id",
        tenant.id,
        "--id",
        "pay-1",
        "--url",
        url,
    )
    for _ in range(2):
        assert await _run(*arguments, CAUSEWAY_API_KEY=_key(tenant)) == (0, "pay-1\n", "")
    shown = (await tenant.owner.get("/v1/events/pay-1")).json()
    assert shown["body"].endswith(',"data":{"amount": 1.10}}')


async def test_data_comes_from_a_file_or_standard_input(tenant: Tenant, url: str, tmp_path: Path) -> None:
    """So that nothing has to be quoted for a shell; the credential comes from a file as well."""
    (tmp_path / "data.json").write_text('{"from": "file"}')
    (tmp_path / "key").write_text(_key(tenant) + "\n")
    common = ("--tenant-id", tenant.id, "--url", url, "--api-key-file", str(tmp_path / "key"))
    for data, stdin in ((f"@{tmp_path / 'data.json'}", b""), ("-", b'{"from": "stdin"}')):
        code, out, err = await _run("publish", "payment.pending", data, *common, stdin=stdin)
        assert (code, err) == (0, "")
        assert (await tenant.owner.get(f"/v1/events/{out.strip()}")).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("no.such.type", "{}"), "unknown_event_type"),
        (("withdrawal.rejected", "{}"), "/subject"),
        (("payment.pending", "[]"), "no JSON object"),
        (("payment.pending", '{"a":'), "no JSON"),
        (("payment.pending", "@/nowhere/at/all"), "No such file"),
    ],
)
async def test_what_cannot_be_published_says_why(
    tenant: Tenant, url: str, arguments: tuple[str, str], told: str
) -> None:
    """With the pointer where there is one; exit code 1, and nothing but that."""
    code, out, err = await _run(
        "publish", *arguments, "--tenant-id", tenant.id, "--url", url, CAUSEWAY_API_KEY=_key(tenant)
    )
    assert (code, out) == (1, "")
    assert told in err
    assert "Traceback" not in err


async def test_an_event_goes_to_the_stream(tenant: Tenant, queue_url: str) -> None:
    """As workers read it; no credential is needed for that."""
    code, out, _ = await _run(
        "publish", "payment.succeeded", '{"n": 1}', "--tenant-id", tenant.id, "--queue-url", queue_url
    )
    async with Redis.from_url(queue_url) as queue:
        [(_, fields)] = await queue.xrevrange("causeway:events", count=1)
    entry = json.loads(fields[b"event"])
    assert code == 0
    assert (entry["id"], entry["tenant_id"], entry["environment"]) == (out.strip(), tenant.id, "live")


@asynccontextmanager
async def _listening(*arguments: str, **environment: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webhook_dispatcher", "listen", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            while not (line := (await process.stdout.readline()).decode()).startswith("listening on "):
                assert line, "it ended"
        yield line.removeprefix("listening on ").strip(), process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()


async def test_a_listener_verifies_every_form() -> None:
    """Standard by a public package's signature, the two older ones, and what does not fit is refused and named."""
    body, now = b'{"id":"msg_1"}', datetime.now(UTC)
    signature = standardwebhooks.Webhook(_SECRET).sign("msg_1", now, body.decode())
    key = SigningSecret.parse_standard(_SECRET).key
    stamp = int(now.timestamp())
    standard = {"webhook-id": "msg_1", "webhook-timestamp": str(stamp), "webhook-signature": signature}
    sent = [
        ("v1", body, standard),
        ("crm", body, {"x-crm-signature": crm_signature(key, body, form="prefixed")}),
        ("timestamped", body, {"x-signature": timestamped_signature([key], timestamp=stamp, body=body)}),
        ("REFUSED", b"\x1b[2J", standard),
    ]
    async with _listening(CAUSEWAY_WEBHOOK_SECRET=_SECRET) as (own_url, process), httpx2.AsyncClient() as http:
        assert process.stdout is not None
        for form, content, headers in sent:
            answer = await http.post(own_url, content=content, headers=headers)
            assert answer.status_code == (400 if form == "REFUSED" else 204)
            async with asyncio.timeout(_SECONDS):
                line, shown = [(await process.stdout.readline()).decode() for _ in range(2)]
            assert form in line
            assert shown == ("  \\x1b[2J\n" if form == "REFUSED" else '  {"id":"msg_1"}\n')


async def test_a_listener_registers_itself_and_leaves_nothing(tenant: Tenant, url: str) -> None:
    """The webhook is there while it listens, and is deleted when it is told to end."""
    arguments = ("--register", "payment.*", "--url", url)
    async with _listening(*arguments, CAUSEWAY_API_KEY=_key(tenant)) as (own_url, process):
        [webhook] = (await tenant.owner.get("/v1/webhooks")).json()["data"]
        assert (webhook["url"], webhook["events"]) == (own_url, ["payment.*"])
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert (await tenant.owner.get("/v1/webhooks")).json()["data"] == []


async def test_one_delivery_is_sent_again(tenant: Tenant, service: DispatcherService, url: str) -> None:
    """By its id."""
    await tenant.new_webhook()
    await tenant.publish(payment(1))
    [delivery] = await tenant.deliveries()
    await service.finish(delivery["id"], status="delivered")
    code, out, _ = await _run("replay", "--delivery", delivery["id"], "--url", url, CAUSEWAY_API_KEY=_key(tenant))
    assert (code, out) == (0, f"{delivery['id']} pending\n")


async def test_many_are_previewed_before_they_are_sent_again(
    tenant: Tenant, service: DispatcherService, url: str
) -> None:
    """The count comes first, and "no" sends nothing; "yes" leaves a recovery that a worker carries out."""
    webhook = await tenant.new_webhook()
    await tenant.publish(*(payment(number) for number in range(3)))
    for delivery in await tenant.deliveries():
        await service.finish(delivery["id"], status="failed", response_status=500)
    arguments = ("replay", "--webhook", webhook["id"], "--from", "2020-01-01T00:00:00+0000", "--url", url)
    code, out, _ = await _run(*arguments, stdin=b"n\n", CAUSEWAY_API_KEY=_key(tenant))
    assert code == 0
    assert out.startswith("3 deliveries\n")
    assert (await tenant.owner.get("/v1/recoveries")).json()["data"] == []
    code, out, _ = await _run(*arguments, "--yes", CAUSEWAY_API_KEY=_key(tenant))
    [recovery] = (await tenant.owner.get("/v1/recoveries")).json()["data"]
    assert (code, out) == (0, f"3 deliveries\n{recovery['id']} pending\n")


async def test_without_a_credential_nothing_is_tried(tenant: Tenant) -> None:
    """And it says where one may come from."""
    code, _, err = await _run("replay", "--delivery", "dlv_x", CAUSEWAY_API_KEY="")
    assert code == 1
    assert "CAUSEWAY_API_KEY" in err
    code, _, err = await _run("publish", "payment.pending", "{}", "--tenant-id", tenant.id, CAUSEWAY_API_KEY="")
    assert code == 1
