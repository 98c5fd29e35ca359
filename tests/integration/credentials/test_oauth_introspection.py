"""``POST /oauth2/introspect`` and ``/oauth2/revoke``: who may ask, what it is told, and what it leaves behind."""

from typing import Any

import pytest

from shared import key_format
from support.access_tokens import claims_of
from support.credentials_service import CredentialsService
from support.oauth_client import FORM, OAuthClient, bearer


async def new_client(service: CredentialsService, tenant_id: str, **fields: Any) -> tuple[dict[str, Any], OAuthClient]:
    """Return a key and the OAuth client behind it."""
    made = await service.new_key(tenant_id, **{"scopes": ["events:publish", "events:read"], **fields})
    return made, OAuthClient.of(service.client(), made)


async def test_a_client_is_told_about_its_own_tokens_and_a_verifier_about_all(service: CredentialsService) -> None:
    """For anybody else's, and for what is no good token, the answer is the same: not active, and nothing more."""
    tenant_id = await service.new_tenant()
    (_, client), (_, other) = [await new_client(service, tenant_id) for _ in range(2)]
    token = await client.token(scope="events:read")
    answer = await client.post("/oauth2/introspect", token=token, token_type_hint="refresh_token")
    claims = claims_of(token)
    told = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (told["active"], told["scope"], told["token_type"]) == (True, "events:read", "Bearer")
    for name in ("client_id", "sub", "aud", "iss", "exp", "iat", "jti", "credential_id", "tenant_id", "environment"):
        assert told[name] == claims[name]
    for asking, text in (
        (other, token),
        (client, token[:-4] + "AAAA"),
        (client, "nonsense"),
        (client, client.secret),
        (client, "\u00e9\u0000"),
    ):
        assert (await asking.post("/oauth2/introspect", token=text)).json() == {"active": False}
    verifier = await service.client().post(
        "/oauth2/introspect",
        content=f"token={token}",
        headers={"content-type": FORM, "authorization": f"Bearer {service.service_key}"},
    )
    assert verifier.json() == told


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
async def test_who_may_ask_is_told_as_the_rfcs_say(service: CredentialsService, path: str) -> None:
    """No proof: Basic; a bad bearer: invalid_token; a bearer without the scope, or of a tenant: insufficient_scope."""
    tenant_id = await service.new_tenant()
    made, client = await new_client(service, tenant_id, roles=["owner"])
    token = await client.token()
    publisher = await service.new_key(None, kind="service", scopes=["events:publish"])
    form = {"content-type": FORM}
    expected = {
        "nothing": ({}, 401, "invalid_client", "Basic"),
        "unknown bearer": (bearer(key_format.generate("service", "live")), 401, "invalid_token", "Bearer"),
        "nonsense": (bearer("a.b.c"), 401, "invalid_token", "Bearer"),
        "a tenant's key": (bearer(made["key"]), 403, "insufficient_scope", "Bearer"),
        "a tenant's token": (bearer(token), 403, "insufficient_scope", "Bearer"),
        "a service without it": (bearer(publisher["key"]), 403, "insufficient_scope", "Bearer"),
        "two credentials": ({**bearer(made["key"]), "x-api-key": made["key"]}, 400, "invalid_request", None),
    }
    for name, (headers, status, error, challenge) in expected.items():
        answer = await service.client().post(path, content=f"token={token}", headers={**form, **headers})
        assert (answer.status_code, answer.json()["error"]) == (status, error), name
        if challenge is not None:
            assert answer.headers["www-authenticate"].startswith(f'{challenge} realm="causeway"')
    both = await service.client().post(
        path, content=f"token={token}&client_secret=x", headers={**form, **bearer(made["key"])}
    )
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    missing = await client.post(path)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    assert await client.is_active(token)


async def test_revoking_a_token_ends_it_alone_and_is_recorded_once(service: CredentialsService) -> None:
    """The key's other tokens stay, and so does the key; again is harmless."""
    tenant_id = await service.new_tenant()
    made, client = await new_client(service, tenant_id)
    token, other = await client.token(), await client.token()
    for _ in range(2):
        answer = await client.revoke(token)
        assert (answer.status_code, answer.content) == (200, b"")
        assert not await client.is_active(token)
    assert (await client.http.get("/v1/whoami", headers=bearer(token))).status_code == 401
    assert (await client.http.get("/v1/whoami", headers=bearer(other))).status_code == 200
    assert (await client.http.get("/v1/whoami", headers={"x-api-key": made["key"]})).status_code == 200
    async with service.resources.database.connection() as connection:
        rows = (
            await connection.exec_driver_sql(
                "SELECT actor_id, target_id, environment, ip::text, changes FROM audit_entries"
                " WHERE action = 'access_token.revoked' AND actor_id = $1",
                (made["id"],),
            )
        ).all()
    assert len(rows) == 1
    assert rows[0].target_id == claims_of(token)["jti"]
    assert rows[0].environment == "live"
    assert token not in str(rows)


async def test_only_the_client_itself_or_a_verifier_ends_a_token(service: CredentialsService) -> None:
    """Another client, of the tenant or not, is told that it may not; the token lives."""
    tenant_id = await service.new_tenant()
    _, client = await new_client(service, tenant_id)
    _, neighbour = await new_client(service, tenant_id)
    _, foreign = await new_client(service, await service.new_tenant())
    token = await client.token()
    for other in (neighbour, foreign):
        answer = await other.revoke(token)
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert await client.is_active(token)
    ended = await service.client().post(
        "/oauth2/revoke",
        content=f"token={token}",
        headers={"content-type": FORM, "authorization": f"Bearer {service.service_key}"},
    )
    assert ended.status_code == 200
    assert not await client.is_active(token)


async def test_what_is_no_token_is_ended_already_and_a_key_is_not_revoked_by_accident(
    service: CredentialsService,
) -> None:
    """RFC 7009 §2.2: an invalid token is success; of an API key the caller is told that it goes on living."""
    made, client = await new_client(service, await service.new_tenant())
    for text in ("nonsense", "a.b.c", (await client.token())[:-4] + "AAAA"):
        assert (await client.revoke(text)).status_code == 200
    answer = await client.revoke(made["key"])
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")
    assert (await client.http.get("/v1/whoami", headers={"x-api-key": made["key"]})).status_code == 200


async def test_a_token_of_a_listed_key_is_good_from_its_addresses_alone(service: CredentialsService) -> None:
    """Here and in a sibling; asking about it is no use of it."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["events:read"], allowed_cidrs=["192.0.2.0/24"])
    inside, outside = service.client(client_ip="192.0.2.9"), service.client(client_ip="198.51.100.9")
    client = OAuthClient.of(inside, made)
    token = await client.token()
    assert (await inside.get("/v1/whoami", headers=bearer(token))).status_code == 200
    assert (await outside.get("/v1/whoami", headers=bearer(token))).status_code == 401
    verifier = {"content-type": FORM, "authorization": f"Bearer {service.service_key}"}
    told = await service.client().post("/oauth2/introspect", content=f"token={token}", headers=verifier)
    assert told.json()["active"] is True
