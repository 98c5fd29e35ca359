"""What every part of the demo does with an answer."""

from typing import Any

import httpx2

from embedded.errors import StackError


def checked(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON object of a success; raises StackError with what came instead."""
    if not response.is_success:
        where = f"{response.request.method} {response.request.url}"
        raise StackError(f"{where} answered {response.status_code}: {response.text[:500]}")
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer
