"""The credentials service as siblings see it, in a few lines of memory, with a clock that tests turn."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import httpx2

from shared import key_format, typeids
from shared.access import AccessClient
from shared.access.jwks import JWKS_PATH
from shared.access.jwt import AccessToken
from support.access_tokens import Issuer


@dataclass(slots=True)
class Clock:
    """Seconds that pass only when told."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(slots=True)
class FakeCredentials:
    """Knows keys and a feed; counts what it is asked. ``reads_at_once`` False holds answers back after the read."""

    clock: Clock = field(default_factory=Clock)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    first_sequence: int = 0
    is_up: bool = True
    feed_is_up: bool = True
    verified: list[dict[str, Any]] = field(default_factory=list)
    was_read: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    keys_were_read: asyncio.Event = field(default_factory=asyncio.Event)
    may_publish: asyncio.Event = field(default_factory=asyncio.Event)
    jwks: list[dict[str, Any]] = field(default_factory=list)
    asked_paths: list[str] = field(default_factory=list)
    status: int = 200
    """Of the answers to verifications."""
    lag: int = 0
    """By how many rows the answers to verifications lie behind the feed."""

    def __post_init__(self) -> None:
        """Answer at once unless told otherwise."""
        self.may_answer.set()
        self.may_publish.set()

    @property
    def sequence(self) -> int:
        """Return where the feed stands."""
        return self.first_sequence + len(self.rows)

    def new_key(
        self, *, tenant: UUID | None = None, scopes: tuple[str, ...] = ("events:publish", "events:read")
    ) -> str:
        """Return a valid key."""
        key = key_format.generate("secret", "live")
        self.keys[key] = {
            "credential_id": typeids.encode("key", typeids.new_id()),
            "kind": "secret",
            "name": "key",
            "tenant_id": typeids.encode("ten", tenant or typeids.new_id()),
            "environment": "live",
            "scopes": list(scopes),
            "expires_at": None,
        }
        return key

    def know(self, issuer: Issuer, token: AccessToken) -> str:
        """Return the text of an access token that this service, if asked, says is good."""
        text = issuer.text(token)
        self.keys[text] = {
            "credential_id": token.credential_id,
            "kind": token.kind,
            "name": "Access token",
            "tenant_id": typeids.encode("ten", token.tenant_id) if token.tenant_id else None,
            "environment": token.environment,
            "scopes": sorted(token.scopes),
            "expires_at": token.expires_at,
        }
        return text

    def revoke(self, key: str) -> None:
        """End a key, and say so in the feed."""
        self.announce(self.keys.pop(key)["credential_id"])

    def announce(self, target_id: str) -> None:
        """Add a row to the feed."""
        self.rows.append({"sequence": self.sequence + 1, "target_id": target_id, "age_ms": 1.0})

    def client(self, **options: Any) -> AccessClient:
        """Return a sibling's client of this service; it follows the feed only when its ``feed.ask`` is called."""
        transport = httpx2.MockTransport(self._handle)
        first, second = (httpx2.AsyncClient(transport=transport, base_url="http://credentials.test") for _ in range(2))
        return AccessClient(first, second, clock=self.clock, **options)

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        if not self.is_up or (request.url.path == "/v1/revocations" and not self.feed_is_up):
            raise httpx2.ConnectError("refused")
        self.asked_paths.append(request.url.path)
        answer: Callable[[httpx2.Request], Any] = self._follow
        if request.url.path == JWKS_PATH:
            sequence = self.sequence - self.lag
            keys = self.jwks
            self.keys_were_read.set()
            await self.may_publish.wait()
            return httpx2.Response(200, json={"keys": keys, "sequence": sequence})
        if request.url.path == "/v1/verify":
            asked = json.loads(request.content)
            self.verified.append(asked)
            body = self._verify(asked)
            self.was_read.set()
            await self.may_answer.wait()
            return httpx2.Response(self.status, json=body)
        return httpx2.Response(200, json=answer(request))

    def _verify(self, asked: dict[str, Any]) -> dict[str, Any]:
        principal = self.keys.get(asked["credential"])
        sequence = self.sequence - self.lag
        if principal is None:
            return {"valid": False, "sequence": sequence}
        return {"valid": True, "principal": principal, "sequence": sequence}

    def _follow(self, request: httpx2.Request) -> dict[str, Any]:
        after = request.url.params.get("after")
        rows = [] if after is None else [row for row in self.rows if row["sequence"] > int(after)]
        return {"sequence": self.sequence, "data": rows[:1_000], "services": []}


async def allows(client: AccessClient, text: str, *, scope: str = "events:publish", ip: str | None = None) -> bool:
    """Tell whether the client lets a credential pass; what it asks beside is answered, too, where the service answers."""
    address = ip_address(ip) if ip else None
    is_allowed = await client.verify(text, ip=address, scope=scope) is not None
    for _ in range(20):
        await asyncio.sleep(0)
    return is_allowed


async def heard(client: AccessClient) -> AccessClient:
    """Return the client with a heartbeat just heard."""
    await client.feed.ask(wait_seconds=0)
    return client
