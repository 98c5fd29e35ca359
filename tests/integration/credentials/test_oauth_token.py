"""``POST /oauth2/token``: who gets an access token, with which scopes, and what it says."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from shared import key_format
from shared.access.jwt import LEEWAY_SECONDS
from support.access_tokens import claims_of, header_of
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.oauth_client import FORM, OAuthClient, bearer
from support.queries import recorded_statements

GRANT = "grant_type=client_credentials"


async def new_client(service: CredentialsService, **fields: Any) -> OAuthClient:
    """Return the OAuth client behind a new key of a new tenant."""
    made = await service.new_key(await service.new_tenant(), **{"scopes": ["events:publish", "events:read"], **fields})
    return OAuthClient.of(service.client(), made)


async def test_a_client_gets_a_token_for_what_its_key_may_do(service: CredentialsService) -> None:
    """It lives five minutes, names the key, the tenant and the environment, and opens what the key opens."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["events:publish"], roles=["support"], environment="test")
    client = OAuthClient.of(service.client(), made)
    before = time.time()
    answer = await client.ask_token()
    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    told = answer.json()
    assert {**told, "access_token": None, "scope": None} == {
        "access_token": None,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": None,
    }
    claims = claims_of(told["access_token"])
    assert before - 1 <= claims["iat"] <= time.time()
    assert claims["exp"] == claims["iat"] + 300
    assert claims["sub"] == claims["client_id"] == claims["credential_id"] == made["id"]
    assert (claims["tenant_id"], claims["environment"], claims["kind"]) == (tenant_id, "test", "secret")
    assert (claims["iss"], claims["aud"]) == (service.settings.issuer, "causeway")
    assert claims["scope"] == told["scope"]
    assert {"events:publish", "deliveries:resend"} <= set(told["scope"].split())
    assert header_of(told["access_token"])["typ"] == "at+jwt"
    shown = await client.http.get("/v1/whoami", headers=bearer(told["access_token"]))
    assert (shown.status_code, shown.json()["id"]) == (200, made["id"])
    assert shown.json()["effective_scopes"] == sorted(told["scope"].split())


async def test_both_ways_to_authenticate_are_taken(service: CredentialsService) -> None:
    """Basic, percent-encoded as RFC 6749 says, with or without client_id in the form; or both in the form."""
    client = await new_client(service)
    in_form = f"client_id={client.client_id}&client_secret={client.secret}"
    encoded_id = client.client_id.replace("_", "%5F")
    basic = httpx2.BasicAuth(client.client_id, client.secret)
    ways: list[tuple[str, httpx2.Auth]] = [
        (f"{GRANT}&{in_form}", httpx2.Auth()),
        (GRANT, basic),
        (f"{GRANT}&client_id={client.client_id}", basic),
        (GRANT, httpx2.BasicAuth(encoded_id, client.secret)),
    ]
    for content, auth in ways:
        answer = await client.http.post(
            "/oauth2/token", content=content, headers={"content-type": f"{FORM};charset=UTF-8"}, auth=auth
        )
        assert answer.status_code == 200, answer.text


async def test_a_token_is_never_wider_than_its_key(service: CredentialsService) -> None:
    """Any part of the key's scopes is given, and nothing beside them."""
    client = await new_client(service, roles=["support"])
    answer = await client.ask_token(scope="events:read")
    assert answer.json()["scope"] == "events:read"
    refused = await client.http.get("/v1/api-keys", headers=bearer(answer.json()["access_token"]))
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="api_keys:read"' in refused.headers["www-authenticate"]
    for scope in ("transfers:create", "events:read transfers:create", "nonsense", "events:read  x", " ", '"', "\u00e9"):
        denied = await client.ask_token(scope=scope)
        assert (denied.status_code, denied.json()["error"]) == (400, "invalid_scope"), scope
    public = await new_client(service, kind="public", scopes=["events:read"])
    assert (await public.ask_token()).json()["scope"] == "events:read"
    assert (await public.ask_token(scope="events:publish")).json()["error"] == "invalid_scope"
    assert (await (await new_client(service, scopes=[])).ask_token()).json()["error"] == "invalid_scope"


async def test_a_token_that_was_asked_with_less_does_not_open_more(service: CredentialsService) -> None:
    """Narrowing is in force in verification, whatever the key itself may do."""
    client = await new_client(service, roles=["owner"])
    narrow, wide = await client.token(scope="events:read"), await client.token()
    assert (await client.http.get("/v1/api-keys", headers=bearer(narrow))).status_code == 403
    assert (await client.http.get("/v1/api-keys", headers=bearer(wide))).status_code == 200
    siblings = service.client(service.service_key)
    verdict = (
        await siblings.post("/v1/verify", json={"credential": narrow, "required_scopes": ["events:read"]})
    ).json()
    assert verdict["principal"]["scopes"] == ["events:read"]
    more = (await siblings.post("/v1/verify", json={"credential": narrow, "required_scopes": ["roles:read"]})).json()
    assert more["valid"] is False


async def test_a_service_key_gets_a_token_that_belongs_to_no_tenant(service: CredentialsService) -> None:
    """And names the tenant it acts for as the key would."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(None, kind="service", scopes=["events:publish", "tenants:read"])
    token = await OAuthClient.of(service.client(), made).token()
    assert claims_of(token)["tenant_id"] is None
    answer = await service.client().get(f"/v1/tenants/{tenant_id}", headers=bearer(token))
    assert answer.status_code == 200


async def test_a_token_ends_before_its_key_whatever_a_clock_says(service: CredentialsService) -> None:
    """With the leeway of whoever judges it; of a key about to end there are none."""
    ends_at = datetime.now(UTC) + timedelta(seconds=60)
    client = await new_client(service, expires_at=ends_at.isoformat())
    told = (await client.ask_token()).json()
    assert claims_of(told["access_token"])["exp"] + LEEWAY_SECONDS <= ends_at.timestamp()
    assert told["expires_in"] < 60
    ending = await new_client(service, expires_at=(datetime.now(UTC) + timedelta(seconds=4)).isoformat())
    assert (await ending.ask_token()).json()["error"] == "invalid_grant"


async def test_whoever_does_not_prove_who_it_is_gets_the_one_same_answer(service: CredentialsService) -> None:
    """Unknown, malformed, another's, revoked, ended, from elsewhere, a security token, an access token: nothing tells which."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    mine, other, listed, revoked = [
        await service.new_key(tenant_id, scopes=["events:read"], **fields)
        for fields in ({}, {}, {"allowed_cidrs": ["192.0.2.0/24"]}, {})
    ]
    foreign = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    await owner.post(f"/v1/api-keys/{revoked['id']}/revoke")
    http = service.client()
    access_token = await OAuthClient.of(http, mine).token()
    security_token = (await owner.post("/v1/security-token/reveal")).json()
    shown = (await service.client(security_token["token"]).get("/v1/whoami")).json()
    claims = {
        "unknown secret": (mine["id"], key_format.generate("secret", "live")),
        "malformed secret": (mine["id"], "nonsense"),
        "secret that is no ASCII": (mine["id"], "\u00e9"),
        "wrong checksum": (mine["id"], mine["key"][:-1] + ("0" if mine["key"][-1] != "0" else "1")),
        "another key's id": (other["id"], mine["key"]),
        "a foreign tenant's id": (foreign["id"], mine["key"]),
        "an id of nobody": ("key_01j9zq3s8hf3mbq5w7t2k4v6xy", mine["key"]),
        "a malformed id": ("nonsense", mine["key"]),
        "revoked": (revoked["id"], revoked["key"]),
        "from elsewhere": (listed["id"], listed["key"]),
        "a security token": (shown["id"], security_token["token"]),
        "an access token": (mine["id"], access_token),
        "no secret": (mine["id"], ""),
        "no id": ("", mine["key"]),
    }
    answers = {name: await OAuthClient(http, *claim).ask_token() for name, claim in claims.items()}
    answers["nothing at all"] = await http.post("/oauth2/token", content=GRANT, headers={"content-type": FORM})
    answers["Basic of nonsense"] = await http.post(
        "/oauth2/token", content=GRANT, headers={"content-type": FORM, "authorization": "Basic !"}
    )
    answers["a bearer"] = await http.post(
        "/oauth2/token", content=GRANT, headers={"content-type": FORM, **bearer(access_token)}
    )
    for name, answer in answers.items():
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == 'Basic realm="causeway", charset="UTF-8"', name
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {"error": "invalid_client", "error_description": "Client authentication failed."}, name


async def test_unknown_and_foreign_clients_cost_the_same_queries(service: CredentialsService) -> None:
    """One, for each secret that was not seen before; none for a malformed one."""
    made, other = [await service.new_key(await service.new_tenant(), scopes=["events:read"]) for _ in range(2)]
    counts = []
    for claim in (
        (made["id"], key_format.generate("secret", "live")),
        (made["id"], other["key"]),
        (made["id"], "nonsense"),
    ):
        with recorded_statements(service.resources.database) as statements:
            await OAuthClient(service.client(), *claim).ask_token()
        counts.append(len(statements))
    assert counts == [1, 1, 0]


async def test_guessing_clients_are_slowed_down_as_everywhere(databases: Databases) -> None:
    """429 with Retry-After in OAuth's form, and a real client from the same address still gets its token."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url).model_copy(update={"guesses_per_minute": 5})
        async with credentials_service(settings) as service:
            client = await new_client(service)
            guesses = [
                await OAuthClient(client.http, client.client_id, key_format.generate("secret", "live")).ask_token()
                for _ in range(7)
            ]
            assert [answer.status_code for answer in guesses] == [401] * 5 + [429] * 2
            assert guesses[-1].json()["error"] == "temporarily_unavailable"
            assert int(guesses[-1].headers["retry-after"]) >= 1
            assert (await client.ask_token()).status_code == 200


async def test_challenges_are_those_of_rfc_6750(service: CredentialsService) -> None:
    """No error without a credential, invalid_token with one that is not good, insufficient_scope with too little."""
    http = service.client()
    nothing, wrong = await http.get("/v1/whoami"), await http.get("/v1/whoami", headers=bearer("a.b.c"))
    assert nothing.headers["www-authenticate"] == 'Bearer realm="causeway"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="causeway", error="invalid_token"'
    key = await http.get("/v1/whoami", headers={"x-api-key": key_format.generate("secret", "live")})
    assert _without_request_id(key) == _without_request_id(wrong)


def _without_request_id(answer: httpx2.Response) -> tuple[int, dict[str, Any], str]:
    body = answer.json()
    del body["request_id"]
    return answer.status_code, body, answer.headers["www-authenticate"]
