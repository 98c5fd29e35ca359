"""The wallet gateway's frame: it starts, says what it needs, and describes itself."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr

from credentials.app import create_app as create_credentials_app
from shared.sealing import KeyringMalformedError
from support.apps import in_memory, on_socket
from support.credentials_service import credentials_service
from support.credentials_service import settings_for as credentials_settings_for
from support.databases import Databases
from support.gateway_service import settings_for
from support.sibling_service import new_sealing_keys
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
        credentials_service(credentials_settings_for(url)) as credentials,
        on_socket(create_credentials_app(credentials.settings)) as credentials_url,
    ):
        settings = Settings(
            database_url=gateway_database,
            queue_url=valkey_url,
            credentials_url=credentials_url,
            service_key=SecretStr(credentials.service_key),
            sealing_keys=new_sealing_keys(),
            log_level="error",
        )
        async with on_socket(create_app(settings)) as gateway_url, httpx2.AsyncClient() as client:
            answer = await client.get(f"{gateway_url}/readyz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok", "failing": {}})


async def test_readiness_names_the_part_that_is_away(gateway_database: str) -> None:
    """Credentials is not there; the queue, which stops no request, is not there either and is not named."""
    nowhere = "http://127.0.0.1:1"
    settings = settings_for(gateway_database, credentials_url=nowhere)
    async with in_memory(create_app(settings)) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, {"credentials": "ConnectError"})
        assert (await client.get("/livez")).status_code == 200


async def test_it_describes_itself(gateway_database: str) -> None:
    """The document is there without internet access, and a path that is not there is a problem."""
    async with in_memory(create_app(settings_for(gateway_database))) as client:
        document = (await client.get("/openapi.json")).json()
        assert {"/livez", "/readyz", "/metrics", "/v1/external-wallets", "/v1/home-wallet"} <= document["paths"].keys()
        missing = await client.get("/v1/nothing")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_it_does_not_start_without_a_sealing_key(gateway_database: str) -> None:
    """It could neither keep an API key nor open one."""
    with pytest.raises(KeyringMalformedError):
        async with in_memory(create_app(settings_for(gateway_database, sealing_keys=SecretStr("")))):
            pass
