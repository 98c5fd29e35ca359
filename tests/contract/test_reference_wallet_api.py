"""The reference wallet keeps its OpenAPI document: Schemathesis makes requests from it, good and bad, signed as `ewp/1` wants."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from reference_wallet.app import create_app
from shared.ewp.signatures import Request, sign_request
from shared.ewp.signing_keys import HmacKey
from support.databases import Databases
from support.reference_wallet import reference_wallet, wallet_settings
from support.thread_server import served_in_thread

EXAMPLES = 20
#: Calls whose rules say more than JSON Schema can: dates, amounts, currencies, what an id was used for. 422 is right.
BEYOND_SCHEMA = {
    ("PUT", "/v1/transfers/{transfer_id}"),
    ("POST", "/v1/balances:query"),
    ("PUT", "/control/systems/{name}/api-keys/{key_id}"),
    ("PUT", "/control/systems/{name}/wallets/{wallet_id}"),
    ("PATCH", "/control/systems/{name}/wallets/{wallet_id}"),
    ("POST", "/control/systems/{name}/own-transactions"),
}

schema = schemathesis.openapi.from_dict(create_app(wallet_settings("postgresql://nowhere/none")).openapi())
schema.config.generation.update(with_security_parameters=False)

MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
AnyCase = Case[Any]


@dataclass(frozen=True, slots=True)
class Signer(requests.auth.AuthBase):
    """Signs a request as the gateway does; the control API gets its token instead."""

    key: HmacKey
    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add what proves who calls."""
        assert request.url is not None
        parts = urlsplit(request.url)
        body = request.body or b""
        assert isinstance(body, str | bytes)
        if parts.path.startswith("/control"):
            request.headers["authorization"] = f"Bearer {self.token}"
            return request
        signed = Request(
            method=request.method or "",
            scheme=parts.scheme,
            authority=parts.netloc,
            target=parts.path + (f"?{parts.query}" if parts.query else ""),
            body=body.encode() if isinstance(body, str) else body,
        )
        request.headers.update(sign_request([self.key], signed, created=int(time.time())))
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where it listens, how to prove who calls, and values of path parameters for what is there."""

    url: str
    signer: Signer
    ids: dict[str, str]


@asynccontextmanager
async def _serve(postgres_url: str) -> AsyncIterator[Served]:
    databases = Databases(postgres_url)
    async with reference_wallet(databases, wallet_faults=False) as wallet:
        system = await wallet.new_system()
        await system.open_wallet()
        await system.caller.put("known")
        token = wallet.settings.control_token.get_secret_value()
        ids = {"name": system.name, "wallet_id": "w1", "transfer_id": "known", "key_id": "ak_other"}
        yield Served(url=wallet.url, signer=Signer(system.key, token), ids=ids)
    await databases.drop_all()


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[Served]:
    """Return a wallet behind a socket."""
    with served_in_thread(lambda: _serve(postgres_url)) as running:
        yield running


@schema.parametrize()
@MANY
def test_every_call_keeps_the_document(case: AnyCase, served: Served) -> None:
    """No 5xx, only documented answers in the documented form, bad requests refused and good ones accepted."""
    _call(case, served)


@schema.include(path_regex="{").parametrize()
@MANY
def test_calls_about_real_objects_keep_the_document(case: AnyCase, served: Served) -> None:
    """The same with a wallet system, an account and a transfer that exist."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or path.mode == GenerationMode.POSITIVE:
        case.path_parameters = {name: served.ids[name] for name in case.path_parameters}
    _call(case, served)


def _call(case: AnyCase, served: Served) -> None:
    excluded = [positive_data_acceptance] if (case.method, case.path) in BEYOND_SCHEMA else []
    case.call_and_validate(base_url=served.url, auth=served.signer, excluded_checks=[*excluded, ignored_auth])
