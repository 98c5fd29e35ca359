"""Credentials keeps its OpenAPI document: Schemathesis makes requests from it, good and bad, and runs all its checks."""

import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

from shared.openapi_export import document
from shared.scopes import PUBLIC_SCOPES, TENANT_SCOPES
from support.credentials_process import ServedCredentials, served_credentials

EXAMPLES = 20
#: Calls of the platform about itself; all others are a tenant's.
OF_THE_PLATFORM = ("/v1/tenants", "/v1/verify", "/v1/revocations")

schema = schemathesis.openapi.from_dict(document("credentials"))
# The credential is given by the test; random ones would make every answer a 401.
schema.config.generation.update(with_security_parameters=False)

MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
AnyCase = Case[Any]


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[ServedCredentials]:
    """Return credentials behind a socket."""
    with served_credentials(postgres_url) as running:
        yield running


@schema.parametrize()
@MANY
def test_every_call_keeps_the_document(case: AnyCase, served: ServedCredentials) -> None:
    """No 5xx, only documented answers in the documented form, bad requests refused and good ones accepted."""
    _call(case, served)


@schema.include(path_regex="_id}").exclude(method="DELETE").parametrize()
@MANY
def test_calls_about_real_objects_keep_the_document(case: AnyCase, served: ServedCredentials) -> None:
    """The same with ids of objects that exist, where a random id would only ever be a 404."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or path.mode == GenerationMode.POSITIVE:
        case.path_parameters = {name: served.ids[name] for name in case.path_parameters}
    _call(case, served)


def _call(case: AnyCase, served: ServedCredentials) -> None:
    headers: dict[str, str] = {}
    auth = None
    given = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if given is not None and given.mode == GenerationMode.POSITIVE and "Idempotency-Key" in case.headers:
        # Each is a request of its own: the same key with another body is refused, as it should be.
        case.headers["Idempotency-Key"] = uuid4().hex
    if case.path.startswith("/oauth2/"):
        auth = served.client
    else:
        key = served.platform_key if case.path.startswith(OF_THE_PLATFORM) else served.owner_key
        headers = {"X-API-Key": key}
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    if body is not None and body.mode == GenerationMode.POSITIVE and isinstance(case.body, dict):
        case.body = _by_the_rules(case.body)
    case.call_and_validate(base_url=served.url, headers=headers, auth=auth)


def _by_the_rules(body: dict[str, Any]) -> dict[str, Any]:
    """Return a good body that also keeps the rules that say more than JSON Schema can; all else stays as it was made.

    Those are: which role there is, which scope a kind of key can hold, what is a network, and which time is still to come.
    """
    fitting = dict(body)
    if "roles" in body:
        fitting["roles"] = ["auditor" for _ in body["roles"] if body.get("kind", "secret") == "secret"]
    if "scopes" in body and body.get("kind") == "public":
        fitting["scopes"] = [scope for scope in body["scopes"] if scope in PUBLIC_SCOPES]
    elif "scopes" in body and "environment" in body and body.get("kind") == "secret":
        fitting["scopes"] = [scope for scope in body["scopes"] if scope in TENANT_SCOPES]
    if "allowed_cidrs" in body:
        fitting["allowed_cidrs"] = [f"192.0.{zlib.crc32(text.encode()) % 256}.0/24" for text in body["allowed_cidrs"]]
    if isinstance(body.get("expires_at"), str):
        fitting["expires_at"] = "2999-01-01T00:00:00Z"
    return fitting
