"""Calls of integrators signed the older way, behind their tenant's switch."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from shared.access import AccessClient
from shared.crm_signatures import sha1_signature
from support.apps import on_socket
from support.credentials_service import CredentialsService

UNIFORM = "unauthorized"


@dataclass(frozen=True, slots=True)
class Integrator:
    """A tenant that switched the older way on, its owner key, and a client without a credential."""

    tenant_id: str
    key: str
    client: httpx2.AsyncClient


@pytest.fixture
async def integrator(service: CredentialsService) -> Integrator:
    """Return one."""
    tenant_id = await service.new_tenant()
    await switch(service, tenant_id, on=True)
    made = await service.new_key(tenant_id, roles=["owner"])
    return Integrator(tenant_id, made["key"], service.client())


async def switch(service: CredentialsService, tenant_id: str, *, on: bool) -> None:
    """Turn the tenant's switch."""
    answer = await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"legacy_signatures": on})
    assert answer.json()["legacy_signatures"] is on


def hmac_of(body: bytes, key: str) -> str:
    """Return the newer of the two forms."""
    return "sha256=" + hmac.digest(key.encode(), body, hashlib.sha256).hex()


NEW_KEY: dict[str, Any] = {"name": "made", "kind": "secret", "environment": "live", "scopes": ["events:read"]}
BODY = json.dumps(NEW_KEY).encode()


async def post(integrator: Integrator, body: bytes, **headers: str) -> httpx2.Response:
    """Make a key the older way."""
    return await integrator.client.post(
        "/v1/api-keys", content=body, headers={"content-type": "application/json", "key": integrator.key, **headers}
    )


async def test_it_is_off_until_the_platform_switches_it_on(service: CredentialsService) -> None:
    """A new tenant's key in the header ``key`` is refused uniformly; the switch is shown, audited and in the feed."""
    tenant_id = await service.new_tenant()
    key = (await service.new_key(tenant_id))["key"]
    client = service.client()
    refused = await client.get("/v1/whoami", headers={"key": key})
    assert (refused.status_code, refused.json()["code"]) == (401, UNIFORM)
    sequence = service.resources.feed.applied
    await switch(service, tenant_id, on=True)
    assert (await client.get("/v1/whoami", headers={"key": key})).status_code == 200
    await switch(service, tenant_id, on=False)
    assert (await client.get("/v1/whoami", headers={"key": key})).status_code == 401
    assert (await client.get("/v1/whoami", headers={"x-api-key": key})).status_code == 200
    await service.resources.feed.look()
    assert service.resources.feed.applied == sequence + 2


@pytest.mark.parametrize("way", ["sha1", "hmac"])
async def test_both_forms_sign_a_body(integrator: Integrator, way: str) -> None:
    """The exact body that was signed is what is acted on."""
    key = integrator.key
    signature = sha1_signature(NEW_KEY, key=key) if way == "sha1" else hmac_of(BODY, key)
    made = await post(integrator, BODY, signature=signature)
    assert made.status_code == 201
    assert made.json()["scopes"] == ["events:read"]


async def test_a_body_without_its_own_signature_is_refused(integrator: Integrator) -> None:
    """Missing, of another body, under another key, of another form: the uniform 401, and nothing is made."""
    other = BODY.replace(b"made", b"MADE")
    for headers in (
        {},
        {"signature": hmac_of(other, integrator.key)},
        {"signature": hmac_of(BODY, "another key")},
        {"signature": sha1_signature({**NEW_KEY, "name": "MADE"}, key=integrator.key)},
        {"signature": sha1_signature({}, key=integrator.key)},
        {"signature": "sha256="},
    ):
        refused = await post(integrator, BODY, **headers)
        assert (refused.status_code, refused.json()["code"]) == (401, UNIFORM)
    listed = await integrator.client.get("/v1/api-keys", headers={"key": integrator.key})
    assert [item["name"] for item in listed.json()["data"]] == ["test"]


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_it_is_one_credential_among_others(integrator: Integrator, header: str) -> None:
    """Two are two, also if they are the same; and twice the same header is refused."""
    value = integrator.key if header == "x-api-key" else f"Bearer {integrator.key}"
    answer = await integrator.client.get("/v1/whoami", headers={"key": integrator.key, header: value})
    assert (answer.status_code, answer.json()["code"]) == (400, "multiple_credentials")
    assert integrator.key not in answer.text
    for name in ("key", "signature"):
        twice = [("key", integrator.key), (name, "x"), (name, "y")][-3 if name == "signature" else 0 :]
        answer = await integrator.client.get("/v1/whoami", headers=twice)
        assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_header")


async def test_keys_without_a_tenant_have_no_switch(service: CredentialsService) -> None:
    """The platform's own credentials do not come the older way."""
    for key in (service.platform_key, service.service_key):
        assert (await service.client().get("/v1/whoami", headers={"key": key})).status_code == 401


async def test_a_body_over_every_limit_is_not_read_to_its_end(integrator: Integrator) -> None:
    """Even before a signature is looked at."""
    answer = await post(integrator, b"[" + b" " * (17 * 1024 * 1024), signature="sha256=00")
    assert answer.status_code == 413


async def test_the_switch_reaches_siblings_with_the_principal(service: CredentialsService) -> None:
    """And turning it off reaches them through the feed."""
    tenant_id = await service.new_tenant()
    key = (await service.new_key(tenant_id))["key"]
    async with on_socket(service.app) as url:
        sibling = AccessClient.open(url, SecretStr(service.service_key))
        for on in (False, True, False):
            await switch(service, tenant_id, on=on)
            await sibling.feed.ask(wait_seconds=0)
            principal = await sibling.verify(key, ip=None, scope="events:read")
            assert principal is not None
            assert principal.legacy_signatures is on
        await sibling.aclose()
