"""The calls of the security token, and what tests do with one."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from support.credentials_service import CredentialsService

PATH = "/v1/security-token"
CALLS: dict[str, Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]] = {
    "read": lambda client: client.get(PATH),
    "reveal": lambda client: client.post(f"{PATH}/reveal"),
    "refresh": lambda client: client.post(f"{PATH}/refresh"),
}


async def reveal(owner: httpx2.AsyncClient) -> str:
    """Return the tenant's token."""
    answer = await owner.post(f"{PATH}/reveal")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


async def refresh(owner: httpx2.AsyncClient, **wanted: Any) -> str:
    """Replace the tenant's token and return the new one."""
    answer = await owner.post(f"{PATH}/refresh", json=wanted)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


async def is_valid(service: CredentialsService, token: str) -> bool:
    """Tell what a sibling would hear about a token."""
    answer = await service.client(service.service_key).post("/v1/verify", json={"credential": token})
    return bool(answer.json()["valid"])
