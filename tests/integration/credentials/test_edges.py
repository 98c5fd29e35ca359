"""Answers at the edges: what is told with a limit, what is sent twice, and what somebody else asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.scopes import BUILT_IN_ROLES, PUBLIC_SCOPES
from support.credentials_service import CredentialsService
from support.oauth_client import OAuthClient
from support.repeated_creations import shown_to_who_may_read

GUESSER = "198.51.100.7"


async def test_too_many_guesses_of_a_client_tell_the_limit(service: CredentialsService) -> None:
    """In the standard headers, as everywhere."""
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    http = service.client(client_ip=GUESSER)
    client = OAuthClient(http, made["id"], made["key"][:-1] + ("0" if made["key"][-1] != "0" else "1"))
    for _ in range(service.settings.guesses_per_minute + 1):
        answer = await client.ask_token()
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit"]
    assert answer.headers["ratelimit-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {key}, Bearer {key}"},
        {"authorization": "Bearer {key},bearer {key}"},
        {"authorization": "Basic eDp5, Bearer {key}"},
        {"x-api-key": "{key}, {key}"},
    ],
    ids=["twice", "without a space", "two schemes", "x-api-key"],
)
async def test_two_credentials_folded_into_one_header_are_two(
    service: CredentialsService, headers: dict[str, str]
) -> None:
    """A proxy may join headers that were sent twice (RFC 9110 section 5.3): 400, as for two headers."""
    sent = {name: value.format(key=service.platform_key) for name, value in headers.items()}
    answer = await service.client().get("/v1/whoami", headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_header")


async def test_other_schemes_may_have_commas(service: CredentialsService) -> None:
    """They are no credential of ours, and get the uniform answer."""
    answer = await service.client().get("/v1/whoami", headers={"authorization": 'Digest username="a", realm="b"'})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/api-keys?limit=1&limit=2",
        "/v1/api-keys?q=a&limit=1&q=b",
        "/v1/audit-log?action=a&action=a",
        "/v1/roles?limit=5&limit=5",
    ],
)
async def test_a_query_parameter_is_sent_once(service: CredentialsService, path: str) -> None:
    """Which of two is meant nobody can tell; the answer names it."""
    owner = await service.new_owner(await service.new_tenant())
    answer = await owner.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    name = path.rpartition("&")[2].partition("=")[0]
    assert answer.json()["errors"] == [{"pointer": f"query/{name}", "detail": "sent more than once"}]


async def test_a_good_client_whose_key_is_about_to_end_is_told_so(service: CredentialsService) -> None:
    """It proved who it is: what it lacks is time for a token."""
    ends_at = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"], expires_at=ends_at)
    answer = await OAuthClient.of(service.client(), made).ask_token()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


#: What the first pair of a realm gets, which its maker must have.
_FIRST_PAIR = sorted(PUBLIC_SCOPES | BUILT_IN_ROLES["integration"])
CREATIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "key": ("/v1/api-keys", {"name": "n", "kind": "secret", "environment": "live"}, "api_keys"),
    "pair": ("/v1/api-keys/regenerate-pair", {"environment": "live"}, "api_keys"),
    "rotation": ("/v1/api-keys/{key}/rotate", {"overlap_seconds": 60}, "api_keys"),
    "role": ("/v1/roles", {"name": "mine", "scopes": ["events:read"]}, "roles"),
    "security token": ("/v1/security-token/refresh", {}, "security_token"),
}


@pytest.mark.parametrize("kind", CREATIONS)
async def test_a_repeated_creation_shows_nobody_more_than_it_may_see(service: CredentialsService, kind: str) -> None:
    """The maker gets its answer again, and so does who may read such objects; another one of the realm does not."""
    tenant_id = await service.new_tenant()
    template, body, family = CREATIONS[kind]
    path = template.format(key=(await service.new_key(tenant_id))["id"])
    write = "security_token:refresh" if family == "security_token" else f"{family}:write"
    maker, reader, writer = [
        service.client((await service.new_key(tenant_id, scopes=scopes))["key"])
        for scopes in (
            [write, *_FIRST_PAIR],
            [write, f"{family}:read", *_FIRST_PAIR],
            [write, *_FIRST_PAIR],
        )
    ]
    key, read = kind.replace(" ", "-"), f"{family}:read"
    await shown_to_who_may_read(path, body, key=key, maker=maker, reader=reader, writer=writer, read=read)
