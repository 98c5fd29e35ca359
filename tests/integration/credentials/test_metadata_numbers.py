"""Numbers in metadata: those that every JSON reader takes for the same number are kept as they came, others are refused."""

from typing import Any

import jsonschema_rs
import pytest

from shared.openapi_export import document
from shared.typeids import decode
from support.credentials_service import CredentialsService

SAFE = 2**53 - 1
KEPT = [0, -1, SAFE, -SAFE, 0.5, -1e-7, 1e15, 60.0]
REFUSED = [
    *("123456789012345678901234567890", f"{SAFE + 2}", f"-{SAFE + 2}", "9" * 5_000),
    f'"{"0" * 501}"',
    *("1e400", "-1e400", "1e300", "9.1e15"),
]


def body(number: object) -> str:
    """Return a key to make, with this number in its metadata."""
    return f'{{"name": "n", "kind": "secret", "environment": "live", "metadata": {{"a": {number}}}}}'


@pytest.mark.parametrize("number", REFUSED, ids=lambda text: text[:12])
async def test_a_number_that_others_read_differently_is_refused(service: CredentialsService, number: str) -> None:
    """422 with its pointer, at making and at changing; nothing is made, and nothing changes."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, metadata={"a": 1})
    headers = {"x-tenant-id": tenant_id, "content-type": "application/json"}
    path = f"/v1/api-keys/{made['id']}"
    answers = [
        await service.platform.post("/v1/api-keys", content=body(number), headers=headers),
        await service.platform.patch(path, content=f'{{"metadata": {{"a": {number}}}}}', headers=headers),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), answer.text
    listed = (await service.platform.get("/v1/api-keys", headers=headers)).json()["data"]
    assert [key["metadata"] for key in listed] == [{"a": 1}]


@pytest.mark.parametrize("number", KEPT)
async def test_a_number_comes_back_as_it_was(service: CredentialsService, number: float) -> None:
    """To the last digit, and in the audit log too."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id)
    headers = {"x-tenant-id": tenant_id}
    answer = await service.platform.patch(
        f"/v1/api-keys/{made['id']}", json={"metadata": {"a": number}}, headers=headers
    )
    assert answer.json()["metadata"] == {"a": number}
    assert (await service.platform.get(f"/v1/api-keys/{made['id']}", headers=headers)).json()["metadata"] == {
        "a": number
    }


async def test_a_pair_takes_over_what_was_kept_before_there_were_bounds(service: CredentialsService) -> None:
    """An older row is no fault of the request."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    path, wanted = "/v1/api-keys/regenerate-pair", {"environment": "live"}
    first = (await owner.post(path, json=wanted)).json()
    async with service.resources.database.connection() as connection:
        changed = "UPDATE api_keys SET metadata = '{\"a\": 1e29}' WHERE id = $1"
        await connection.exec_driver_sql(changed, (decode("key", first["secret"]["id"]),))
    again = await owner.post(path, json=wanted)
    assert (again.status_code, again.json()["secret"]["metadata"]) == (201, {"a": 1e29})


def test_the_document_says_which_numbers() -> None:
    """What is refused does not fit the schema, and what is kept does."""
    found = document("credentials")
    for name in ("ApiKeyCreate", "ApiKeyChange"):
        schema = {**found["components"]["schemas"][name], "components": found["components"]}
        base: dict[str, Any] = {"name": "n", "kind": "secret", "environment": "live"} if name == "ApiKeyCreate" else {}
        for number in (SAFE + 2, -SAFE - 2, 10**30, 1e300):
            assert not jsonschema_rs.is_valid(schema, {**base, "metadata": {"a": number}})
        for number in KEPT:
            jsonschema_rs.validate(schema, {**base, "metadata": {"a": number}})
