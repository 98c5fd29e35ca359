"""The OpenAPI document of credentials: every call of the contract, with its scope and its problems."""

from typing import Any

import jsonschema_rs
import pytest

from shared.problems import PROBLEM_MEDIA_TYPE
from support.credentials_service import CredentialsService
from support.exported_documents import exported_document

DOCUMENT = exported_document("credentials")
#: Anybody may report a leaked key.
WITHOUT_CREDENTIAL = {"POST /v1/leaked-keys"}
CALLS = {
    *("POST /v1/tenants", "GET /v1/tenants", "GET /v1/tenants/{tenant_id}", "PATCH /v1/tenants/{tenant_id}"),
    *("POST /v1/api-keys", "GET /v1/api-keys", "GET /v1/api-keys/{key_id}", "PATCH /v1/api-keys/{key_id}"),
    *("DELETE /v1/api-keys/{key_id}", "POST /v1/api-keys/{key_id}/revoke", "POST /v1/api-keys/{key_id}/rotate"),
    *("POST /v1/api-keys/{key_id}/rotate/finish", "POST /v1/api-keys/{key_id}/rotate/undo"),
    *("POST /v1/api-keys/regenerate-pair", "GET /v1/whoami", "GET /v1/host", "GET /v1/hygiene", "POST /v1/leaked-keys"),
    *("GET /v1/security-token", "POST /v1/security-token/reveal", "POST /v1/security-token/refresh"),
    *("GET /v1/roles", "POST /v1/roles", "PATCH /v1/roles/{role_id}", "DELETE /v1/roles/{role_id}"),
    *("GET /v1/audit-log", "GET /v1/audit-log/export", "POST /v1/verify", "GET /v1/revocations"),
    *("POST /oauth2/token", "POST /oauth2/introspect", "POST /oauth2/revoke"),
    *("GET /.well-known/oauth-authorization-server", "GET /.well-known/jwks.json"),
    *("GET /livez", "GET /readyz", "GET /metrics"),
}
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_every_call_of_the_contract_is_there() -> None:
    """And no other."""
    assert OPERATIONS.keys() == CALLS


@pytest.mark.parametrize("call", sorted(call for call in CALLS - WITHOUT_CREDENTIAL if " /v1/" in call))
def test_each_call_says_its_scope_and_its_problems(call: str) -> None:
    """Whatever any authenticated call can answer, and how to authenticate."""
    operation = OPERATIONS[call]
    assert "Scope: `" in operation["description"]
    assert operation["security"]
    assert {"400", "401", "403", "413", "422", "429", "431", "500", "503"} <= operation["responses"].keys()


def test_a_creation_names_its_own_problems() -> None:
    """By code, each with an example."""
    creation = OPERATIONS["POST /v1/api-keys"]["responses"]
    shown = {status: creation[status]["content"][PROBLEM_MEDIA_TYPE]["examples"].keys() for status in ("403", "422")}
    assert {"scope_escalation", "environment_mismatch"} <= shown["403"]
    assert "idempotency_mismatch" in shown["422"]


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(found)


@pytest.mark.parametrize("call", sorted(CALLS))
async def test_what_is_refused_before_a_call_is_reached_is_documented(service: CredentialsService, call: str) -> None:
    """Headers that are too many, a credential in the URL, a media type that is none of the call's: in the documented form."""
    method, _, template = call.partition(" ")
    path = template.format(key_id="key_x", role_id="role_x", tenant_id="ten_x")
    key = {"x-api-key": service.platform_key}
    requests: list[dict[str, Any]] = [
        {"url": path, "headers": {f"x-{number}": "" for number in range(200)}},
        {"url": f"{path}?api_key=x", "headers": key},
        {"url": f"{path}?a=%00", "headers": key},
        {"url": path, "headers": {"authorization": "Bearer a, Bearer b"}},
    ]
    if "requestBody" in OPERATIONS[call]:
        requests.append({"url": path, "headers": {**key, "content-type": "text/plain"}, "content": "x"})
    for sent in requests:
        answer = await service.client().request(method, **sent)
        documented = _resolved(OPERATIONS[call]["responses"][str(answer.status_code)])
        if answer.content and answer.status_code >= 400:
            media_type = answer.headers["content-type"].partition(";")[0]
            schema = {**documented["content"][media_type]["schema"], "components": DOCUMENT["components"]}
            jsonschema_rs.validate(schema, answer.json())


def test_every_way_to_send_a_credential_is_documented() -> None:
    """The older way, too: the key, and the signature of the body beside it."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {(each["in"], each["name"]) for each in schemes.values() if each["type"] == "apiKey"} == {
        ("header", "X-API-Key"),
        ("header", "key"),
        ("header", "signature"),
    }
    for call in (call for call in CALLS - WITHOUT_CREDENTIAL if " /v1/" in call):
        assert {"legacy_key": [], "legacy_signature": []} in OPERATIONS[call]["security"]
