"""The gateway keeps its OpenAPI document: Schemathesis makes requests from it, good and bad, and runs all its checks."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shared.openapi_export import document
from support.gateway_process import ServedGateway, served_gateway

EXAMPLES = 20
#: Calls whose rules say more than JSON Schema can: addresses, bytes of a key, what fits a protocol, currencies. 422 is right.
BEYOND_SCHEMA = {
    ("POST", "/v1/external-wallets"),
    ("PATCH", "/v1/external-wallets/{wallet_id}"),
    ("POST", "/v1/external-wallets/{wallet_id}/api-key/rotate"),
    ("GET", "/v1/external-wallets/{wallet_id}/balances"),
    ("PUT", "/v1/home-wallet"),
    ("POST", "/v1/home-wallet/api-key/rotate"),
    ("POST", "/v1/transfers"),
    ("POST", "/v1/reconciliations"),
}
#: 503 is right where the wallet in question does not answer, as one does whose address was just changed by another case; no other
#: fault of the server is.
UNAVAILABLE = 503
MAY_BE_UNAVAILABLE = {("POST", "/v1/transfers")}

schema = schemathesis.openapi.from_dict(document("wallet_gateway"))
# The credential is given by the test; random ones would make every answer a 401.
schema.config.generation.update(with_security_parameters=False)

MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
AnyCase = Case[Any]


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[ServedGateway]:
    """Return a gateway behind a socket."""
    with served_gateway(postgres_url) as running:
        yield running


@schema.parametrize()
@MANY
def test_every_call_keeps_the_document(case: AnyCase, served: ServedGateway) -> None:
    """No 5xx, only documented answers in the documented form, bad requests refused and good ones accepted."""
    _call(case, served)


@schema.include(path_regex="_id}|_ref}").exclude(method="DELETE").parametrize()
@MANY
def test_calls_about_real_objects_keep_the_document(case: AnyCase, served: ServedGateway) -> None:
    """The same with ids of objects that exist, where a random id would only ever be a 404."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or path.mode == GenerationMode.POSITIVE:
        case.path_parameters = {name: served.ids[name] for name in case.path_parameters}
    _call(case, served)


def _call(case: AnyCase, served: ServedGateway) -> None:
    given = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if given is not None and given.mode == GenerationMode.POSITIVE and "Idempotency-Key" in case.headers:
        # Each is a request of its own: the same key with another body is refused, as it should be.
        case.headers["Idempotency-Key"] = uuid4().hex
    call = (case.method, case.path)
    excluded: list[Any] = [positive_data_acceptance] if call in BEYOND_SCHEMA else []
    answer = case.call(base_url=served.url, headers={"X-API-Key": served.key})
    if (
        call in MAY_BE_UNAVAILABLE
        and answer.status_code == UNAVAILABLE
        and answer.json()["code"] == "wallet_unavailable"
    ):
        excluded.append(not_a_server_error)
    case.validate_response(answer, headers={"X-API-Key": served.key}, excluded_checks=excluded)
