"""What the API shows of a key may be written wherever a caller writes; the key itself is refused, as the document says."""

from typing import Any

import jsonschema_rs
import pytest

from shared import key_format
from support.credentials_service import CredentialsService
from support.exported_documents import exported_document

SHOWN = "cw_pk_live_Ab7d…x0Zk"
KEY = key_format.generate("public", "live")
DOCUMENT = exported_document("credentials")
NEW_KEY = {"name": "n", "kind": "secret", "environment": "live"}
NEW_ROLE = {"name": "r", "scopes": ["events:read"]}


def requests_with(text: str, number: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Return calls, the schemas of their bodies, and bodies that hold ``text`` where texts are kept."""
    return [
        ("/v1/tenants", "TenantCreate", {"name": text}),
        ("/v1/api-keys", "ApiKeyCreate", {**NEW_KEY, "name": text}),
        ("/v1/api-keys", "ApiKeyCreate", {**NEW_KEY, "metadata": {text: 1}}),
        ("/v1/api-keys", "ApiKeyCreate", {**NEW_KEY, "metadata": {"a": text}}),
        ("/v1/roles", "RoleCreate", {**NEW_ROLE, "name": f"r{number}", "description": text}),
        ("/v1/roles", "RoleCreate", {**NEW_ROLE, "name": text.partition("…")[0]}),
    ]


@pytest.mark.parametrize(
    ("text", "is_kept"), [(SHOWN, True), (KEY, False), (f"x {KEY[:31]}", False)], ids=["shown", "key", "most of it"]
)
async def test_a_text_is_taken_or_refused_as_the_document_says(
    service: CredentialsService, text: str, *, is_kept: bool
) -> None:
    """Names, descriptions, and metadata in name and value."""
    owner = await service.new_owner(await service.new_tenant())
    for path, name, body in requests_with(text, 1):
        client = service.platform if path == "/v1/tenants" else owner
        answer = await client.post(path, json=body)
        assert answer.status_code == (201 if is_kept else 422), (path, body, answer.text)
        schema = {**DOCUMENT["components"]["schemas"][name], "components": DOCUMENT["components"]}
        assert jsonschema_rs.is_valid(schema, body) is is_kept, (path, body)


@pytest.mark.parametrize(("text", "is_kept"), [(SHOWN.partition("…")[0], True), (KEY, False)], ids=["shown", "key"])
async def test_an_idempotency_key_is_taken_or_refused_as_the_document_says(
    service: CredentialsService, text: str, *, is_kept: bool
) -> None:
    """It is kept as well."""
    answer = await service.platform.post("/v1/tenants", json={"name": "A"}, headers={"idempotency-key": text})
    assert answer.status_code == (201 if is_kept else 400)
    parameters = DOCUMENT["paths"]["/v1/tenants"]["post"]["parameters"]
    schema = next(each["schema"] for each in parameters if each["name"] == "Idempotency-Key")
    assert jsonschema_rs.is_valid(schema, text) is is_kept
