"""Who gets the kept answer of a creation that is sent again, in any service."""

from typing import Any

import httpx2


async def shown_to_who_may_read(
    path: str,
    body: Any,
    *,
    key: str,
    maker: httpx2.AsyncClient,
    reader: httpx2.AsyncClient,
    writer: httpx2.AsyncClient,
    read: str,
) -> None:
    """Create, and send it again: ``maker`` and ``reader`` get the answer, ``writer`` lacks the scope ``read``."""
    headers = {"idempotency-key": key}
    first = await maker.post(path, json=body, headers=headers)
    assert first.is_success, first.text
    for client in (maker, reader):
        again = await client.post(path, json=body, headers=headers)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (first.status_code, "true")
    refused = await writer.post(path, json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert read in refused.headers["www-authenticate"]
