"""The demo's tenant and its keys, made through the HTTP API as an operator would, once per data folder."""

from dataclasses import dataclass

import httpx2

from embedded.errors import StackError
from embedded.private_file import KeptValues

Body = dict[str, object]
TENANT_NAME = "Demo Brokerage"


@dataclass(frozen=True)
class Tenancy:
    tenant_id: str
    owner_key: str
    publisher_key: str


async def ensure_tenancy(client: httpx2.AsyncClient, *, platform_key: str, kept: KeptValues) -> Tenancy:
    """Return the kept tenant and keys where they still work, and make what is missing.

    `client` has the base URL of credentials. Raises StackError when an answer is not the expected one.
    """
    platform = {"Authorization": f"Bearer {platform_key}"}
    tenant_id = kept.get("tenant_id")
    if tenant_id is None or not await _answers(client, f"/v1/tenants/{tenant_id}", platform):
        created = await _post(client, "/v1/tenants", platform, {"name": TENANT_NAME})
        tenant_id = str(created["id"])
        kept.set("tenant_id", tenant_id)
    tenant = platform | {"X-Tenant-Id": tenant_id}
    owner: Body = {"name": "Demo owner", "kind": "secret", "environment": "live", "scopes": [], "roles": ["owner"]}
    publisher: Body = {"name": "Demo publisher", "kind": "service", "environment": "live", "scopes": ["events:publish"]}
    return Tenancy(
        tenant_id=tenant_id,
        owner_key=await _ensure_key(client, tenant, owner, kept=kept, kept_as="owner_key"),
        publisher_key=await _ensure_key(client, platform, publisher, kept=kept, kept_as="publisher_key"),
    )


async def _ensure_key(
    client: httpx2.AsyncClient, creator: dict[str, str], request: Body, *, kept: KeptValues, kept_as: str
) -> str:
    key = kept.get(kept_as)
    if key is None or not await _answers(client, "/v1/whoami", {"Authorization": f"Bearer {key}"}):
        key = str((await _post(client, "/v1/api-keys", creator, request))["key"])
        kept.set(kept_as, key)
    return key


async def _answers(client: httpx2.AsyncClient, path: str, headers: dict[str, str]) -> bool:
    return (await client.get(path, headers=headers)).is_success


async def _post(client: httpx2.AsyncClient, path: str, headers: dict[str, str], body: Body) -> Body:
    response = await client.post(path, headers=headers, json=body)
    if not response.is_success:
        raise StackError(f"POST {path} of credentials answered {response.status_code}: {response.text[:500]}")
    answer: Body = response.json()
    return answer
