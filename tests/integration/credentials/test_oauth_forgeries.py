"""Forged, foreign and outworn access tokens against the running service: one uniform 401, and no I/O for them."""

import time
from typing import Any

import httpx2
import pytest
from joserfc.jwk import ECKey

from shared import typeids
from shared.access.jwt import LEEWAY_SECONDS
from support.access_tokens import claims_of, es256, forgeries, header_of
from support.credentials_service import CredentialsService
from support.oauth_client import OAuthClient, bearer
from support.queries import recorded_statements


@pytest.fixture(scope="module")
async def genuine(service: CredentialsService) -> tuple[str, ECKey]:
    """Return a token of the service and the private key that signed it."""
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    token = await OAuthClient.of(service.client(), made).token()
    return token, (await service.resources.oauth.keys.active()).private


# Each test comes from an address of its own, so that the limit on guesses stays out of it.


def signed(genuine: tuple[str, ECKey], **changes: Any) -> str:
    """Return the genuine token with other claims, signed with the real key."""
    token, key = genuine
    assert key.private_key is not None
    return es256(header_of(token), {**claims_of(token), **changes}, key.private_key)


async def test_every_forgery_gets_the_uniform_401(service: CredentialsService, genuine: tuple[str, ECKey]) -> None:
    """Over HTTP and for the siblings that ask; the genuine one beside them passes."""
    http, siblings = service.client(client_ip="192.0.2.1"), service.client(service.service_key)
    assert (await http.get("/v1/whoami", headers=bearer(genuine[0]))).status_code == 200
    made = forgeries(genuine[0], signing_key=genuine[1])
    assert len(made) > 50
    for name, text in made.items():
        answer = await http.get("/v1/whoami", headers=bearer(text))
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == 'Bearer realm="causeway", error="invalid_token"'
        assert answer.json()["detail"] == "A valid credential is required."
        verdict = (await siblings.post("/v1/verify", json={"credential": text})).json()
        assert verdict == {"valid": False, "sequence": verdict["sequence"]}, name


async def test_forgeries_cost_no_query_but_the_keys_own(
    service: CredentialsService, genuine: tuple[str, ECKey]
) -> None:
    """Nothing that a token says reaches a statement before its signature was found right."""
    with recorded_statements(service.resources.database) as statements:
        for text in forgeries(genuine[0], signing_key=genuine[1]).values():
            assert await service.resources.access.verify(text, ip=None, scope="events:read") is None
    assert all("oauth_signing_keys" in statement and "WHERE" not in statement for statement in statements)
    assert len(statements) <= 3


async def test_a_signed_lie_about_the_key_is_found_out(service: CredentialsService, genuine: tuple[str, ECKey]) -> None:
    """Test for live, another tenant, another kind, another key, a version that never was, scopes beyond the key's."""
    foreign = await service.new_key(await service.new_tenant(), scopes=["events:read"], environment="test")
    other = {"sub": foreign["id"], "client_id": foreign["id"], "credential_id": foreign["id"]}
    lies: dict[str, dict[str, Any]] = {
        "another environment": {"environment": "test"},
        "no tenant": {"tenant_id": None},
        "another tenant": {"tenant_id": typeids.encode("ten", typeids.new_id())},
        "another kind": {"kind": "service"},
        "a test key of another tenant as this live one": other,
        "a version that never was": {"key_version": 2},
        "more scopes": {"scope": "events:publish events:read"},
        "a scope of the platform": {"scope": "credentials:verify"},
        "a key of nobody": dict.fromkeys(other, typeids.encode("key", typeids.new_id())),
    }
    http = service.client(client_ip="192.0.2.2")
    assert (await http.get("/v1/whoami", headers=bearer(signed(genuine)))).status_code == 200
    for name, lie in lies.items():
        answer = await http.get("/v1/whoami", headers=bearer(signed(genuine, **lie)))
        assert answer.status_code == 401, name


async def test_a_test_token_is_nothing_on_live(service: CredentialsService) -> None:
    """It acts in its own environment, whatever the request names: there it sees none of the live objects."""
    tenant_id = await service.new_tenant()
    live = await service.new_key(tenant_id, scopes=["events:read"])
    made = await service.new_key(tenant_id, roles=["owner"], environment="test")
    token = await OAuthClient.of(service.client(), made).token()
    http = service.client()
    named = await http.get("/v1/api-keys", headers={**bearer(token), "x-environment": "live"})
    assert (named.status_code, named.json()["code"]) == (403, "tenant_mismatch")
    assert (await http.get(f"/v1/api-keys/{live['id']}", headers=bearer(token))).status_code == 404
    shown = (await http.get("/v1/api-keys", headers=bearer(token))).json()["data"]
    assert {key["id"] for key in shown} == {made["id"]}


async def test_a_token_ends_at_its_time_give_or_take_the_leeway(
    service: CredentialsService, genuine: tuple[str, ECKey]
) -> None:
    """To the second, in memory or not."""
    http, now = service.client(client_ip="192.0.2.3"), int(time.time())
    for age, status in ((LEEWAY_SECONDS - 2, 200), (LEEWAY_SECONDS + 1, 401)):
        token = signed(genuine, iat=now - 290, exp=now - age)
        for _ in range(2):
            assert (await http.get("/v1/whoami", headers=bearer(token))).status_code == status
    ahead = signed(genuine, iat=now + LEEWAY_SECONDS + 3, exp=now + 100)
    assert (await http.get("/v1/whoami", headers=bearer(ahead))).status_code == 401


async def test_a_token_acts_as_its_key_does(service: CredentialsService) -> None:
    """It mints within its own scopes, is the actor in the audit log, and its foreign objects are missing ones."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["api_keys:write", "api_keys:read", "events:read"])
    foreign = await service.new_key(await service.new_tenant())
    token = await OAuthClient.of(service.client(), made).token(scope="api_keys:write")
    http = httpx2.AsyncClient(transport=service.client()._transport, base_url="http://x.test", headers=bearer(token))
    wanted = {"name": "a", "kind": "secret", "environment": "live"}
    assert (await http.post("/v1/api-keys", json={**wanted, "scopes": ["api_keys:write"]})).status_code == 201
    beyond = await http.post("/v1/api-keys", json={**wanted, "scopes": ["events:read"]})
    assert (beyond.status_code, beyond.json()["code"]) == (403, "scope_escalation")
    assert (await http.post(f"/v1/api-keys/{foreign['id']}/revoke")).status_code == 404
