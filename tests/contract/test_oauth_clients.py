"""OAuth clients that others wrote: discovery, token, introspection, JWT validation, revocation, against the running service."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt as pyjwt
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.integrations.requests_client import OAuthError
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError
from requests_oauthlib import OAuth2Session as RequestsSession

from credentials.app import create_app
from embedded.ports import free_port
from support.apps import LOOPBACK, on_socket
from support.credentials_service import credentials_service, settings_for
from support.databases import Databases
from support.node_clients import NodeClients

AUDIENCE = "causeway"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A running authorization server and one client of it."""

    issuer: str
    client_id: str
    client_secret: str

    @property
    def environment(self) -> dict[str, str]:
        """Return what the programs in Node want to know."""
        return {"ISSUER": self.issuer, "CLIENT_ID": self.client_id, "CLIENT_SECRET": self.client_secret}

    def discover(self) -> dict[str, Any]:
        """Return the metadata from where RFC 8414 says it is."""
        answer = requests.get(f"{self.issuer}/.well-known/oauth-authorization-server", timeout=TIMEOUT_SECONDS)
        metadata: dict[str, Any] = answer.json()
        assert metadata["issuer"] == self.issuer
        return metadata


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[Server]:
    """Return the service behind a real socket, under the address that it names as its own."""
    port = free_port()
    issuer = f"http://{LOOPBACK}:{port}"
    async with databases.temporary("credentials") as url:
        settings = settings_for(url).model_copy(update={"credentials_url": issuer})
        async with credentials_service(settings) as service, on_socket(create_app(settings), port=port):
            made = await service.new_key(await service.new_tenant(), scopes=["events:read", "events:publish"])
            yield Server(issuer, made["id"], made["key"])


@pytest.mark.parametrize("program", ["oauth4webapi.mjs", "openid-client.mjs"])
async def test_clients_in_node(server: Server, node_clients: NodeClients, program: str) -> None:
    """oauth4webapi and openid-client (with jose), by Basic and by post."""
    told = await node_clients.run(program, **server.environment)
    assert told.keys() == {"basic", "post"}
    for way in told.values():
        assert way["claims"]["iss"] == server.issuer
        assert way["claims"]["client_id"] == server.client_id
    assert told["basic"]["jti"] != told["post"]["jti"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlib(server: Server, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Its client, and its own validator of RFC 9068 tokens."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    await asyncio.to_thread(_run_authlib, server, method)


def _run_authlib(server: Server, method: str) -> None:
    metadata = server.discover()

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib ships no types
        def get_jwks(self) -> Any:
            return KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=TIMEOUT_SECONDS).json())

    with AuthlibSession(
        server.client_id,
        server.client_secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="events:read",
    ) as session:
        token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        assert (token["scope"], token["token_type"]) == ("events:read", "Bearer")
        validator = Validator(server.issuer, AUDIENCE)
        claims = validator.authenticate_token(token["access_token"])
        validator.validate_token(claims, ["events:read"], None)
        assert claims["client_id"] == server.client_id
        strict = Validator(server.issuer, "somebody-else")
        foreign = strict.authenticate_token(token["access_token"])
        with pytest.raises(InvalidTokenError):
            strict.validate_token(foreign, [], None)
        assert session.get(f"{server.issuer}/v1/whoami").json()["id"] == server.client_id
        introspect = metadata["introspection_endpoint"]
        assert session.introspect_token(introspect, token=token["access_token"]).json()["active"] is True
        assert session.revoke_token(metadata["revocation_endpoint"], token=token["access_token"]).status_code == 200
        assert session.introspect_token(introspect, token=token["access_token"]).json() == {"active": False}
        with pytest.raises(OAuthError) as error:
            session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", scope="transfers:create")
        assert error.value.error == "invalid_scope"


@pytest.mark.parametrize("in_form", [False, True])
async def test_requests_oauthlib(server: Server, monkeypatch: pytest.MonkeyPatch, *, in_form: bool) -> None:
    """With PyJWT as the one who validates."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    await asyncio.to_thread(_run_requests_oauthlib, server, in_form=in_form)


def _run_requests_oauthlib(server: Server, *, in_form: bool) -> None:
    metadata = server.discover()
    secret: dict[str, Any] = {"client_secret": server.client_secret, "include_client_id": in_form}
    if not in_form:
        secret = {"auth": requests.auth.HTTPBasicAuth(server.client_id, server.client_secret)}
    with RequestsSession(client=BackendApplicationClient(server.client_id, scope=["events:read"])) as session:
        token = session.fetch_token(metadata["token_endpoint"], timeout=TIMEOUT_SECONDS, **secret)
        assert token["scope"] == ["events:read"]
        text = token["access_token"]
        key = pyjwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(text)
        claims = pyjwt.decode(text, key, algorithms=["ES256"], audience=AUDIENCE, issuer=server.issuer)
        assert claims["sub"] == server.client_id
        assert session.get(f"{server.issuer}/v1/whoami", timeout=TIMEOUT_SECONDS).json()["id"] == server.client_id
        assert _post(server, metadata["introspection_endpoint"], text).json()["active"] is True
        assert _post(server, metadata["revocation_endpoint"], text).status_code == 200
        assert _post(server, metadata["introspection_endpoint"], text).json() == {"active": False}
        assert session.get(f"{server.issuer}/v1/whoami", timeout=TIMEOUT_SECONDS).status_code == 401
    wider = RequestsSession(client=BackendApplicationClient(server.client_id, scope=["transfers:create"]))
    with wider, pytest.raises(InvalidScopeError):
        wider.fetch_token(metadata["token_endpoint"], timeout=TIMEOUT_SECONDS, **secret)
    with (
        RequestsSession(client=BackendApplicationClient(server.client_id)) as stranger,
        pytest.raises(InvalidClientError),
    ):
        stranger.fetch_token(metadata["token_endpoint"], client_secret="wrong", timeout=TIMEOUT_SECONDS)


def _post(server: Server, url: str, token: str) -> requests.Response:
    own = (server.client_id, server.client_secret)
    return requests.post(url, auth=own, data={"token": token}, timeout=TIMEOUT_SECONDS)
