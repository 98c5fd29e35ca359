"""The dispatcher keeps its OpenAPI document: Schemathesis makes requests from it, good and bad, and runs all its checks."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shared.openapi_export import document
from support.dispatcher_process import ServedDispatcher, served_dispatcher

EXAMPLES = 20
#: Calls whose rules say more than JSON Schema can (destinations, secrets by format, types by name): 422 is right there, too.
BEYOND_SCHEMA = {
    ("POST", "/v1/webhooks"),
    ("PATCH", "/v1/webhooks/{webhook_id}"),
    ("POST", "/v1/webhooks/{webhook_id}/secret/rotate"),
    ("POST", "/v1/webhooks/{webhook_id}/test"),
    ("POST", "/v1/events"),
    ("GET", "/v1/event-types"),
    ("POST", "/v1/event-types"),
    ("PATCH", "/v1/event-types/{name}"),
    ("POST", "/v1/webhooks/{webhook_id}/recover"),
    ("POST", "/v1/rejected-events/{rejected_id}/replay"),
}

schema = schemathesis.openapi.from_dict(document("webhook_dispatcher"))
# The credential is given by the test; random ones would make every answer a 401.
schema.config.generation.update(with_security_parameters=False)


MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
AnyCase = Case[Any]


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[ServedDispatcher]:
    """Return a dispatcher behind a socket."""
    with served_dispatcher(postgres_url) as running:
        yield running


@schema.parametrize()
@MANY
def test_every_call_keeps_the_document(case: AnyCase, served: ServedDispatcher) -> None:
    """No 5xx, only documented answers in the documented form, bad requests refused and good ones accepted."""
    _call(case, served)


@schema.include(path_regex="(_id|name)}").exclude(method="DELETE").parametrize()
@MANY
def test_calls_about_real_objects_keep_the_document(case: AnyCase, served: ServedDispatcher) -> None:
    """The same with ids of objects that exist, where a random id would only ever be a 404."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or path.mode == GenerationMode.POSITIVE:
        case.path_parameters = {name: served.ids[name] for name in case.path_parameters}
    _call(case, served)


def _call(case: AnyCase, served: ServedDispatcher) -> None:
    headers = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if "Idempotency-Key" in (case.headers or {}) and (headers is None or headers.mode == GenerationMode.POSITIVE):
        # The same key with another body is refused, and rightly so: each request has its own.
        case.headers["Idempotency-Key"] = uuid4().hex
    beyond = (case.method, case.path) in BEYOND_SCHEMA
    case.call_and_validate(
        base_url=served.url,
        headers={"X-API-Key": served.key},
        excluded_checks=[positive_data_acceptance] if beyond else [],
    )
