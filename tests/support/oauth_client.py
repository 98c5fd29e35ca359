"""An OAuth client of the credentials service, over any HTTP client."""

from dataclasses import dataclass
from typing import Any

import httpx2

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """Calls with a key's id and text by Basic."""

    http: httpx2.AsyncClient
    client_id: str
    secret: str

    @classmethod
    def of(cls, http: httpx2.AsyncClient, made: dict[str, Any]) -> "OAuthClient":
        """Return the client behind a new key, as the API showed it."""
        return cls(http, made["id"], made["key"])

    async def post(self, path: str, **form: str) -> httpx2.Response:
        """Call with a form."""
        return await self.http.post(
            path,
            content=str(httpx2.QueryParams(form)),
            headers={"content-type": FORM},
            auth=(self.client_id, self.secret),
        )

    async def ask_token(self, **form: str) -> httpx2.Response:
        """Ask for a token."""
        return await self.post("/oauth2/token", grant_type="client_credentials", **form)

    async def token(self, **form: str) -> str:
        """Return a new token."""
        answer = await self.ask_token(**form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def is_active(self, token: str) -> bool:
        """Introspect."""
        answer = await self.post("/oauth2/introspect", token=token)
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["active"])

    async def revoke(self, token: str) -> httpx2.Response:
        """Revoke a token."""
        return await self.post("/oauth2/revoke", token=token)


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request with a token."""
    return {"authorization": f"Bearer {token}"}
