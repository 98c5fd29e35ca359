"""Requests to ``/oauth2/`` that are wrong in themselves, and credentials where they do not belong."""

from typing import Any

import pytest

from support.credentials_service import CredentialsService
from support.oauth_client import FORM, OAuthClient, bearer

GRANT = "grant_type=client_credentials"


async def new_client(service: CredentialsService, **fields: Any) -> OAuthClient:
    """Return the OAuth client behind a new key of a new tenant."""
    made = await service.new_key(await service.new_tenant(), **{"scopes": ["events:publish", "events:read"], **fields})
    return OAuthClient.of(service.client(), made)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("scope=events:read", "invalid_request"),
        (f"{GRANT}&{GRANT}", "invalid_request"),
        (f"{GRANT}&scope=events:read&scope=events:publish", "invalid_request"),
        (f"{GRANT}&x=1&x=2", "invalid_request"),
        (f"{GRANT}&scope=%00", "invalid_scope"),
        (f"{GRANT}&scope=%ff", "invalid_request"),
        (f"{GRANT}&client_secret=x", "invalid_request"),
        (f"{GRANT}&client_id=key_01j9zq3s8hf3mbq5w7t2k4v6xy", "invalid_request"),
        ("&".join(f"p{number}=1" for number in range(50)), "invalid_request"),
        ("grant_type=authorization_code", "unsupported_grant_type"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=Client_Credentials", "unsupported_grant_type"),
    ],
)
async def test_errors_are_those_of_rfc_6749(service: CredentialsService, content: str, error: str) -> None:
    """Status 400, JSON, the RFC's name, and no store."""
    client = await new_client(service)
    answer = await client.http.post(
        "/oauth2/token", content=content, headers={"content-type": FORM}, auth=(client.client_id, client.secret)
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


async def test_parameters_that_are_empty_or_unknown_are_for_nobody(service: CredentialsService) -> None:
    """RFC 6749 §3.2: the ones count as left out, the others are ignored."""
    client = await new_client(service)
    assert (await client.ask_token(scope="", resource="https://x.example", client_secret="")).status_code == 200


async def test_what_is_wrong_with_a_request_as_a_whole_has_the_same_form(service: CredentialsService) -> None:
    """Media type, length, encoding, a second credential, the URL, the method: none is problem+json under /oauth2/."""
    client = await new_client(service)
    auth = (client.client_id, client.secret)
    http = client.http
    form = {"content-type": FORM}
    path = "/oauth2/token"
    answers = {
        "json": (400, await http.post(path, json={"grant_type": "client_credentials"}, auth=auth)),
        "no media type": (400, await http.post(path, content=GRANT, auth=auth)),
        "too long": (413, await http.post(path, content=f"{GRANT}&x={'x' * 9000}", headers=form, auth=auth)),
        "gzip": (400, await http.post(path, content=GRANT, headers={**form, "content-encoding": "gzip"}, auth=auth)),
        "key header": (
            400,
            await http.post(path, content=GRANT, headers={**form, "x-api-key": client.secret}, auth=auth),
        ),
        "two headers": (
            400,
            await http.post(path, content=GRANT, headers=[*form.items(), *[("authorization", "Basic x")] * 2]),
        ),
        "query": (400, await http.post(f"{path}?scope=events:read", content=GRANT, headers=form, auth=auth)),
        "secret in URL": (400, await http.post(f"{path}?client_secret=x", content=GRANT, headers=form, auth=auth)),
        "key in URL": (400, await http.post(f"{path}?x={client.secret}", content=GRANT, headers=form, auth=auth)),
        "token in URL": (
            400,
            await http.post(f"{path}?x={await client.token()}", content=GRANT, headers=form, auth=auth),
        ),
        "method": (405, await http.get(path)),
        "path": (404, await http.get("/oauth2/nothing")),
    }
    for name, (status, answer) in answers.items():
        assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request"), name
        assert answer.headers["content-type"] == "application/json", name
        assert answer.headers.get("x-request-id"), name


async def test_a_token_in_a_url_is_refused_everywhere(service: CredentialsService) -> None:
    """Also outside of OAuth's own paths, under any parameter's name, and in the path."""
    token = await (await new_client(service)).token()
    http = service.client(service.platform_key)
    for url in (f"/v1/tenants?cursor={token}", "/v1/tenants?access_token=x", f"/v1/tenants/{token}"):
        answer = await http.get(url)
        assert (answer.status_code, answer.json()["code"]) == (400, "credential_in_url")
        assert token not in answer.text


async def test_a_credential_beside_a_token_is_refused(service: CredentialsService) -> None:
    """Two credentials are one too many, also where one is a token."""
    client = await new_client(service)
    headers = {**bearer(await client.token()), "x-api-key": client.secret}
    answer = await client.http.get("/v1/whoami", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "multiple_credentials")
