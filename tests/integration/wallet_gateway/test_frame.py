"""The wallet gateway's frame: it starts, says what it needs, and describes itself."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr

from credentials.app import create_app as create_credentials_app
from support.apps import in_memory, on_socket
from support.credentials_service import credentials_service, settings_for
from support.databases import Databases
from wallet_gateway.app import Settings, create_app


@pytest.fixture(scope="module")
async def gateway_database(databases: Databases) -> AsyncIterator[str]:
    """Return a migrated database of the gateway."""
    async with databases.temporary("wallet_gateway") as url:
        yield url


async def test_it_is_ready_when_its_database_and_credentials_answer(
    databases: Databases, gateway_database: str, valkey_url: str
) -> None:
    """Over a real socket to a real credentials service."""
    async with (
        databases.temporary("credentials") as url,
        credentials_service(settings_for(url)) as credentials,
        on_socket(create_credentials_app(credentials.settings)) as credentials_url,
    ):
        settings = Settings(
            database_url=gateway_database,
            queue_url=valkey_url,
            credentials_url=credentials_url,
            service_key=SecretStr(credentials.service_key),
            log_level="error",
        )
        async with on_socket(create_app(settings)) as gateway_url, httpx2.AsyncClient() as client:
            answer = await client.get(f"{gateway_url}/readyz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok", "failing": {}})


async def test_readiness_names_the_part_that_is_away(gateway_database: str) -> None:
    """Credentials is not there; the queue, which stops no request, is not there either and is not named."""
    nowhere = "http://127.0.0.1:1"
    settings = Settings(
        database_url=gateway_database, queue_url="redis://127.0.0.1:1", credentials_url=nowhere, log_level="error"
    )
    async with in_memory(create_app(settings)) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, {"credentials": "ConnectError"})
        assert (await client.get("/livez")).status_code == 200


async def test_it_describes_itself(gateway_database: str) -> None:
    """Without features yet, the document holds health only, and a path that is not there is a problem."""
    settings = Settings(database_url=gateway_database, queue_url="redis://127.0.0.1:1", log_level="error")
    async with in_memory(create_app(settings)) as client:
        document = (await client.get("/openapi.json")).json()
        assert document["paths"].keys() == {"/livez", "/readyz", "/metrics"}
        missing = await client.get("/v1/external-wallets")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
