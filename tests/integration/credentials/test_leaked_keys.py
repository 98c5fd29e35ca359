"""``POST /v1/leaked-keys``: whoever holds a key can end it, and learns nothing."""

import asyncio
from typing import Any

import httpx2
import pytest

from credentials.leaked_keys.service import REPORTS_PER_MINUTE
from credentials.leaked_keys.tasks import deal_with_reports
from credentials.resources import open_resources
from shared import key_format
from support.credentials_service import CredentialsService
from support.queries import recorded_statements


async def report(client: httpx2.AsyncClient, text: str) -> httpx2.Response:
    """Report a text."""
    return await client.post("/v1/leaked-keys", json={"key": text})


async def denied(service: CredentialsService, text: str) -> None:
    """Return when a key is denied, at the latest after a second."""
    client = service.client(text)
    async with asyncio.timeout(1):
        while (await client.get("/v1/host")).status_code == 200:
            await asyncio.to_thread(int)


async def entries(service: CredentialsService, key_id: str) -> list[Any]:
    """Return a key's audit entries."""
    async with service.resources.database.connection() as connection:
        return list(
            await connection.exec_driver_sql(
                "SELECT * FROM audit_entries WHERE target_id = $1 ORDER BY number", (key_id,)
            )
        )


async def dealt_with(service: CredentialsService) -> None:
    """Return when no report waits any more."""
    async with asyncio.timeout(5), service.resources.database.autocommit() as connection:
        while (await connection.exec_driver_sql("SELECT count(*) FROM leaked_key_reports")).scalar():
            await asyncio.to_thread(int)


async def test_a_real_key_ends_within_a_second_and_its_owner_sees_it(service: CredentialsService) -> None:
    """Without any credential; the audit log has the reporter's address and request."""
    made = await service.new_key(await service.new_tenant())
    assert (await service.client(made["key"]).get("/v1/whoami")).status_code == 200
    finder = service.client(client_ip="198.51.100.1")
    answer = await finder.post("/v1/leaked-keys", json={"key": made["key"]}, headers={"x-request-id": "found-it"})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    await denied(service, made["key"])
    entry = (await entries(service, made["id"]))[-1]
    assert (entry.action, entry.actor_kind, str(entry.ip), entry.request_id, entry.changes) == (
        "api_key.revoked",
        "leak_report",
        "198.51.100.1",
        "found-it",
        '{"because":"reported as leaked"}',
    )


@pytest.mark.parametrize("case", ["real", "unknown", "revoked", "service", "security token"])
async def test_answer_and_work_are_the_same_for_every_key(service: CredentialsService, case: str) -> None:
    """Status, body and statements of the request do not depend on whether there is such a key."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(
        None if case == "service" else tenant_id, kind="service" if case == "service" else "secret"
    )
    if case == "revoked":
        await service.platform.post(f"/v1/api-keys/{made['id']}/revoke", headers={"x-tenant-id": tenant_id})
    text = {
        "unknown": key_format.generate("secret", "live"),
        "security token": key_format.generate("security_token", "live"),
    }.get(case, made["key"])
    finder = service.client(client_ip="198.51.100.2")
    processing = service.resources.leaked_keys
    async with _held_back(service):
        with recorded_statements(service.resources.database, of_this_task=True) as statements:
            answer = await report(finder, text)
    assert (answer.status_code, answer.json(), answer.headers["content-length"]) == (202, {"status": "accepted"}, "21")
    assert [statement.split()[:3] for statement in statements] == [["INSERT", "INTO", "leaked_key_reports"]]
    assert text not in str(statements)
    while await processing.deal_with_one():
        pass


async def test_what_is_no_key_is_accepted_alike(service: CredentialsService) -> None:
    """Anybody can tell from the checksum; nothing is kept of it."""
    finder = service.client(client_ip="198.51.100.3")
    for text in ("", "nonsense", "cw_sk_live_" + "0" * 49, "é"):
        with recorded_statements(service.resources.database, of_this_task=True) as statements:
            answer = await report(finder, text)
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        assert not any("INSERT" in statement for statement in statements)


async def test_a_replaced_text_that_leaked_ends_alone(service: CredentialsService) -> None:
    """The owner has rotated already: what is in use goes on; a text that has ended changes nothing."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    rotated = (await owner.post(f"/v1/api-keys/{made['id']}/rotate", json={"overlap_seconds": 3600})).json()
    finder = service.client(client_ip="198.51.100.4")
    for _ in range(2):
        await report(finder, made["key"])
        await denied(service, made["key"])
        await dealt_with(service)
    assert (await service.client(rotated["key"]).get("/v1/whoami")).status_code == 200
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert [version["status"] for version in shown["versions"]] == ["ended", "active"]
    actions = [entry.action for entry in await entries(service, made["id"])]
    assert actions == ["api_key.created", "api_key.rotated", "api_key.version_ended"]
    await report(finder, rotated["key"])
    await denied(service, rotated["key"])
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json()["status"] == "revoked"


async def test_a_leaked_security_token_is_replaced(service: CredentialsService) -> None:
    """Its tenant has a new one at once."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    leaked = (await owner.post("/v1/security-token/reveal")).json()["token"]
    await report(service.client(client_ip="198.51.100.5"), leaked)
    await denied(service, leaked)
    fresh = (await owner.post("/v1/security-token/reveal")).json()["token"]
    assert fresh != leaked
    assert (await service.client(fresh).get("/v1/host")).status_code == 200
    # The old one, found again, ends nothing.
    await report(service.client(client_ip="198.51.100.5"), leaked)
    await dealt_with(service)
    assert (await service.client(fresh).get("/v1/host")).status_code == 200


async def test_a_report_survives_a_crash(service: CredentialsService) -> None:
    """What was accepted and not dealt with is dealt with by the worker."""
    made = await service.new_key(await service.new_tenant())
    async with _held_back(service):
        assert (await report(service.client(client_ip="198.51.100.6"), made["key"])).status_code == 202
        assert (await service.client(made["key"]).get("/v1/whoami")).status_code == 200
    async with open_resources(service.settings, serves=False) as worker:
        await deal_with_reports({"resources": worker})
    await denied(service, made["key"])


async def test_reports_are_limited_for_each_address(service: CredentialsService) -> None:
    """Over the limit 429 with a time to wait, whatever is reported; other addresses are not concerned."""
    noisy = service.client(client_ip="203.0.113.7")
    answers = [await report(noisy, "nonsense") for _ in range(REPORTS_PER_MINUTE + 1)]
    assert [answer.status_code for answer in answers] == [202] * REPORTS_PER_MINUTE + [429]
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == '"leaked-keys";q=30;w=60'
    assert refused.headers["ratelimit"].startswith('"leaked-keys";r=0;t=')
    assert (await report(service.client(client_ip="203.0.113.8"), "nonsense")).status_code == 202


@pytest.mark.parametrize(
    "body", [{}, {"key": 1}, {"key": None}, {"key": "x" * 4097}, {"key": "x", "extra": 1}, []], ids=str
)
async def test_malformed_reports_are_pointed_at(service: CredentialsService, body: Any) -> None:
    """422, and the text is not in the answer."""
    answer = await service.client(client_ip="198.51.100.9").post("/v1/leaked-keys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert "xxxx" not in answer.text


class _held_back:  # noqa: N801 - reads as a word where it is used
    """Keeps the service from dealing with reports meanwhile: another process seems to be at it."""

    def __init__(self, service: CredentialsService) -> None:
        self._leaked_keys = service.resources.leaked_keys

    async def __aenter__(self) -> None:
        self._deal = self._leaked_keys.deal_with_one

        async def nothing() -> bool:
            return False

        self._leaked_keys.deal_with_one = nothing  # type: ignore[method-assign]  # see the class

    async def __aexit__(self, *_exc: object) -> None:
        self._leaked_keys.deal_with_one = self._deal  # type: ignore[method-assign]  # see the class
