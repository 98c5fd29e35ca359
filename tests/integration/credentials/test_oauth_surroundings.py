"""What OAuth 2.0 leaves in logs and tables, what it says of itself, and what it answers while something is broken."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from shared.access import AccessUnavailableError
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.oauth_client import FORM, OAuthClient, bearer

CANARY = "cAnArY0canary1CANARY2"


async def test_no_secret_is_left_anywhere(databases: Databases, capfd: pytest.CaptureFixture[str]) -> None:
    """The key's text and the tokens, through every call and kind of failure: not in a log at its most talkative, not in a row."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url).model_copy(update={"log_level": "debug"})
        async with credentials_service(settings) as service:
            made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
            client = OAuthClient.of(service.client(), made)
            token, revoked = await client.token(), await client.token()
            await _use_everywhere(service, client, token=token, revoked=revoked)
            await service.resources.denials.flush(at_once=True)
            rows = await _everything_stored(service)
    printed = capfd.readouterr()
    assert "/oauth2/token" in printed.err, "the log was captured"
    assert made["id"] in rows, "the tables were read"
    signatures = [text.rpartition(".")[2] for text in (token, revoked)]
    for secret in (made["key"], CANARY, token, revoked, *signatures):
        assert secret not in printed.err + printed.out
        assert secret not in rows


async def _use_everywhere(service: CredentialsService, client: OAuthClient, *, token: str, revoked: str) -> None:
    http, form = client.http, {"content-type": FORM}
    await client.is_active(token)
    await client.revoke(revoked)
    for text in (token, revoked, CANARY):
        await http.get("/v1/whoami", headers=bearer(text))
        await http.get(f"/oauth2/introspect?token={text}")
        await client.post("/oauth2/token", grant_type=CANARY, scope=text)
        await client.post("/oauth2/revoke", token=text, token_type_hint=text)
        await service.platform.post("/v1/verify", json={"credential": text, "nonsense": text})
        await http.post("/oauth2/token", content=f"client_id={CANARY}&client_secret={text}", headers=form)
        await http.post("/oauth2/token", content=f"client_secret={text}&client_secret={text}", headers=form)
        await http.post("/oauth2/token", content=text, headers={**form, "authorization": f"Basic {text}"})
        await http.post("/oauth2/token", json={"client_secret": text})
        await http.post("/oauth2/token", content=f"x={text}" * 500, headers=form)
    broken = service.resources.oauth
    broken.issue = _fail  # type: ignore[assignment,method-assign]  # a fault of ours, while the secret is at hand
    assert (await client.ask_token()).status_code == 500


async def _fail(*_args: Any) -> Any:
    raise RuntimeError("broken for this test")


async def _everything_stored(service: CredentialsService) -> str:
    async with service.resources.database.connection() as connection:
        tables = (
            await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        rows = [
            str(row)
            for table in tables.all()
            for row in (await connection.exec_driver_sql(f'SELECT t::text FROM "{table}" t')).scalars()  # noqa: S608 - names from the catalogue
        ]
    return "\n".join(rows)


async def test_a_broken_part_is_told_in_oauths_own_words(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and 500 have the RFC's form; nobody is told that a good credential is bad."""
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    client = OAuthClient.of(service.client(), made)
    token = await client.token()
    oauth, access = service.resources.oauth, service.resources.access

    async def unavailable(*_args: Any, **_options: Any) -> Any:
        raise AccessUnavailableError

    async def unreadable() -> Any:
        raise ConnectionRefusedError

    breakages: list[tuple[Any, str, Any, Callable[[], Awaitable[httpx2.Response]]]] = [
        (access, "judge_caller", unavailable, client.ask_token),
        (access, "judge", unavailable, lambda: client.post("/oauth2/introspect", token=token)),
        (oauth.keys, "_read", unreadable, client.ask_token),
        (oauth, "issue", _fail, client.ask_token),
    ]
    for target, name, replacement, call in breakages:
        with monkeypatch.context() as patched:
            patched.setattr(target, name, replacement)
            patched.setattr(oauth.keys, "_ring", None)
            answer = await call()
        status, error = (500, "server_error") if name == "issue" else (503, "temporarily_unavailable")
        assert (answer.status_code, answer.json()["error"]) == (status, error), name
        assert answer.headers["content-type"] == "application/json"
    with monkeypatch.context() as patched:
        patched.setattr(oauth.keys, "_read", unreadable)
        patched.setattr(oauth.keys, "_ring", None)
        assert (await client.http.get("/.well-known/jwks.json")).status_code == 503
        assert (await client.http.get("/v1/whoami", headers=bearer(token))).status_code == 503
    assert (await client.ask_token()).status_code == 200


async def test_keys_once_read_serve_while_the_database_is_away(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published keys are no secret and allow nothing by themselves."""
    answer = await service.client().get("/.well-known/jwks.json")
    keys = service.resources.oauth.keys

    async def unreadable() -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(keys, "_read", unreadable)
    monkeypatch.setattr(keys, "_clock", lambda: 1e12)
    assert (await service.client().get("/.well-known/jwks.json")).json() == answer.json()


async def test_the_metadata_says_where_everything_is(service: CredentialsService) -> None:
    """RFC 8414: what it requires, absolute below the issuer, and each place answers."""
    http = service.client()
    answer = await http.get("/.well-known/oauth-authorization-server")
    assert answer.headers["cache-control"] == "public, max-age=60"
    told, issuer = answer.json(), service.settings.issuer
    assert told["issuer"] == issuer
    assert told["grant_types_supported"] == ["client_credentials"]
    assert told["response_types_supported"] == []
    assert told["access_token_signing_alg_values_supported"] == ["ES256"]
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert told[name].startswith(f"{issuer}/oauth2/")
        reached = await http.post(told[name].removeprefix(issuer), content="x=1", headers={"content-type": FORM})
        assert reached.status_code == 401
    assert (await http.get(told["jwks_uri"].removeprefix(issuer))).status_code == 200


async def test_the_document_shows_forms_errors_and_ways_to_authenticate(service: CredentialsService) -> None:
    """An example for each request, each answer and each error, in the form in which they come."""
    document = service.app.openapi()
    for path, errors in {
        "/oauth2/token": {"invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope"},
        "/oauth2/introspect": {"invalid_request", "invalid_client", "invalid_token", "insufficient_scope"},
        "/oauth2/revoke": {"unauthorized_client", "unsupported_token_type", "invalid_token", "insufficient_scope"},
    }.items():
        operation = document["paths"][path]["post"]
        assert {"client": []} in operation["security"]
        form = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
        assert form["example"].keys() <= form["schema"]["properties"].keys()
        shown = {
            example["value"]["error"]
            for status, answer in operation["responses"].items()
            if int(status) >= 400
            for example in answer["content"]["application/json"]["examples"].values()
        }
        assert shown >= errors | {"temporarily_unavailable", "server_error"}
    for name in ("TokenAnswer", "Active", "Inactive", "Metadata", "Jwks"):
        assert document["components"]["schemas"][name].get("examples"), name
