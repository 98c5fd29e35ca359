"""A foreign object is answered exactly as a missing one: checked call by call, down to the statements that Postgres gets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from shared.database import Database
from support.queries import recorded_statements


@dataclass(frozen=True, kw_only=True)
class Call:
    """One route that names an object; ``path`` has its kinds in braces."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    async def send(self, client: httpx2.AsyncClient, ids: Mapping[str, str]) -> httpx2.Response:
        """Make the call about these objects."""
        path = self.path.format(**ids)
        return await client.request(self.method, path, json=self.body, headers={"x-request-id": "fixed"})


async def check_answered_as_missing(
    client: httpx2.AsyncClient,
    database: Database,
    call: Call,
    *,
    foreign: Mapping[str, str],
    others: Iterable[Mapping[str, str]],
) -> None:
    """Expect the same status, body, headers and statements for foreign ids as for ``others``, which nobody has."""
    answers = []
    for ids in (foreign, *others):
        with recorded_statements(database) as statements:
            answer = await call.send(client, ids)
        answers.append((answer.status_code, answer.content, sorted(answer.headers.items()), list(statements)))
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0][3]) >= 1
