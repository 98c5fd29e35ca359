"""The reference wallet for tests: served on a socket of this loop, with wallet systems to call by signed requests."""

import base64
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import orjson
from pydantic import SecretStr

from reference_wallet.app import create_app
from reference_wallet.settings import Settings
from reference_wallet.transfers.rules import WalletRules
from shared.ewp.fields import format_time
from shared.ewp.signatures import Request, sign_request, verify_response
from shared.ewp.signing_keys import HmacKey
from support.apps import on_socket
from support.databases import Databases

_TIMEOUT_SECONDS = 15.0


def wallet_settings(database_url: str, **changes: Any) -> Settings:
    """Return settings with faults allowed and a control token of this run."""
    values: dict[str, Any] = {
        "database_url": database_url,
        "sealing_keys": SecretStr(f"s1:{base64.b64encode(os.urandom(32)).decode()}"),
        "control_token": SecretStr(secrets.token_urlsafe(24)),
        "wallet_faults": True,
        "log_level": "error",
    }
    return Settings(**{**values, **changes})


def soon(seconds: float = 60) -> str:
    """Return a ``not_after`` that many seconds from now."""
    return format_time(datetime.now(UTC) + timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletCaller:
    """Calls a wallet as the gateway does, with one signature for each key, and verifies each signed answer."""

    http: httpx2.AsyncClient
    keys: Sequence[HmacKey]

    async def call(
        self, method: str, target: str, content: Any = None, *, body: bytes | None = None, **signing: Any
    ) -> httpx2.Response:
        """Send one signed request; ``signing`` may give ``created`` and ``nonce``. The answer's signature is verified."""
        sent = body if body is not None else (orjson.dumps(content) if content is not None else b"")
        headers = self.signed_headers(method, target, sent, **signing)
        answer = await self.http.request(method, target, content=sent or None, headers=headers)
        if "signature" in answer.headers:
            verify_response(
                status=answer.status_code,
                body=answer.content,
                headers=list(answer.headers.multi_items()),
                request_signature=headers["signature"],
                keys={key.key_id: key for key in self.keys},
                now=time.time(),
            )
        return answer

    def signed_headers(
        self, method: str, target: str, body: bytes, *, created: float | None = None, nonce: str | None = None
    ) -> dict[str, str]:
        """Return the headers of a request that is signed."""
        request = Request(
            method=method, scheme="http", authority=self.http.base_url.netloc.decode(), target=target, body=body
        )
        headers = sign_request(self.keys, request, created=int(created or time.time()), nonce=nonce)
        return {**headers, "content-type": "application/json"} if body else headers

    async def put(self, transfer_id: str, **fields: Any) -> dict[str, Any]:
        """Order a transfer (by default a direct debit of 10.00 USD from w1 of owner-1); the answer is a 200."""
        return _ok(await self.call("PUT", f"/v1/transfers/{transfer_id}", order(**fields)))

    async def commit(self, transfer_id: str) -> dict[str, Any]:
        """Commit a transfer; the answer is a 200."""
        return _ok(await self.call("PUT", f"/v1/transfers/{transfer_id}/commit"))

    async def cancel(self, transfer_id: str) -> dict[str, Any]:
        """Cancel a transfer; the answer is a 200."""
        return _ok(await self.call("PUT", f"/v1/transfers/{transfer_id}/cancel"))

    async def get(self, transfer_id: str) -> dict[str, Any]:
        """Ask for a transfer; the answer is a 200."""
        return _ok(await self.call("GET", f"/v1/transfers/{transfer_id}"))

    async def balance(self, wallet_id: str = "w1") -> dict[str, Any]:
        """Ask for a wallet; the answer is a 200."""
        return _ok(await self.call("GET", f"/v1/wallets/{wallet_id}/balance"))

    async def feed(self, after_seq: int = 0, limit: int = 200) -> dict[str, Any]:
        """Ask for the feed; the answer is a 200."""
        return _ok(await self.call("GET", f"/v1/transfers?after_seq={after_seq}&limit={limit}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletSystem:
    """One wallet system of a server, with a caller that holds its key."""

    name: str
    key: HmacKey
    caller: WalletCaller
    control: httpx2.AsyncClient

    async def open_wallet(
        self, wallet_id: str = "w1", *, balance: str = "100.00", currency: str = "USD", owner_ref: str = "owner-1"
    ) -> None:
        """Open a wallet with money in it."""
        wanted = {"owner_ref": owner_ref, "currency": currency, "balance": balance}
        await self.do("PUT", f"wallets/{wallet_id}", wanted)

    async def arm(self, kind: str, **rule: Any) -> None:
        """Let a call go wrong: the next one, unless the rule says otherwise."""
        await self.do("POST", "faults", {"kind": kind, **rule})

    async def disarm(self) -> None:
        """Let nothing go wrong any more."""
        await self.do("DELETE", "faults")

    async def do(self, method: str, what: str = "", content: Any = None) -> Any:
        """Make a call of the control API about this system, and return its answer."""
        answer = await self.control.request(method, f"/control/systems/{self.name}/{what}".rstrip("/"), json=content)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceWallet:
    """A served wallet. ``url`` is its base URL."""

    url: str
    settings: Settings
    http: httpx2.AsyncClient
    control: httpx2.AsyncClient
    _made: list[str] = field(default_factory=list)

    async def new_system(self, **fields: Any) -> WalletSystem:
        """Make a wallet system with a key of its own."""
        name = f"system-{secrets.token_hex(6)}"
        answer = await self.control.put(f"/control/systems/{name}", json=fields)
        assert answer.is_success, answer.text
        key = await self.new_key(name)
        return WalletSystem(name=name, key=key, caller=WalletCaller(http=self.http, keys=[key]), control=self.control)

    async def new_key(self, system: str) -> HmacKey:
        """Register one more API key of a system."""
        key = HmacKey.of_text(f"ak_{secrets.token_hex(6)}", secrets.token_urlsafe(32))
        path = f"/control/systems/{system}/api-keys/{key.key_id}"
        answer = await self.control.put(path, json={"secret": key.secret.decode()})
        assert answer.is_success, answer.text
        return key


@asynccontextmanager
async def reference_wallet(
    databases: Databases, *, rules: WalletRules | None = None, **changes: Any
) -> AsyncIterator[ReferenceWallet]:
    """Serve a wallet on a fresh database until the end of the block."""
    async with databases.temporary("reference_wallet") as database_url:
        settings = wallet_settings(database_url, **changes)
        async with on_socket(create_app(settings, rules)) as url, connected(url, settings) as wallet:
            yield wallet


@asynccontextmanager
async def connected(url: str, settings: Settings) -> AsyncIterator[ReferenceWallet]:
    """Give a wallet that is served already."""
    token = settings.control_token.get_secret_value()
    limits = httpx2.Limits(max_connections=200)
    async with (
        httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False, limits=limits) as http,
        httpx2.AsyncClient(
            base_url=url,
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
            headers={"authorization": f"Bearer {token or 'none'}"},
        ) as control,
    ):
        yield ReferenceWallet(url=url, settings=settings, http=http, control=control)


def order(**fields: Any) -> dict[str, Any]:
    """Return the body of a transfer: a direct debit of 10.00 USD, but for the fields given."""
    usual = {"op": "debit", "mode": "direct", "wallet_id": "w1", "owner_ref": "owner-1", "amount": "10.00"}
    return {**usual, "currency": "USD", "not_after": soon(), **fields}


def _ok(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    content: dict[str, Any] = answer.json()
    return content
