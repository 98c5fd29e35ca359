"""The siblings' Verifier. A sibling never holds the pepper.

It asks ``POST /v1/verify`` of credentials, and keeps the answer in process for ``FRESH_SECONDS`` under HMAC(per-process
random, credential): a revocation is therefore seen within that time, with no dependency on Valkey.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from shared.principals import AccessUnavailableError, Address, Principal, principal_from_wire
from shared.scopes import FAIL_CLOSED_SCOPES

FRESH_SECONDS = 0.5
"""How long an answer serves without asking again; with the request itself it keeps revocation under one second."""
GRACE_SECONDS = 30.0
"""How long reading may go on with an old answer while credentials does not answer at all."""
ENTRIES_MAX = 50_000
_VERIFY_TIMEOUT_SECONDS = 2.0


@dataclass(slots=True)
class _Entry:
    principal: Principal | None
    read_at: float


@dataclass(slots=True)
class _Question:
    answer: asyncio.Task[_Entry]
    asked_at: float


class AccessClient:
    """The siblings' Verifier: asks credentials, and remembers for half a second."""

    def __init__(self, http: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._fingerprint_key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._questions: dict[bytes, _Question] = {}

    @classmethod
    def open(cls, credentials_url: str, service_key: SecretStr) -> "AccessClient":
        """Make a client; it connects at the first question. ``service_key`` needs ``credentials:verify``."""
        return cls(
            httpx2.AsyncClient(
                base_url=credentials_url,
                headers={"authorization": f"Bearer {service_key.get_secret_value()}"},
                timeout=_VERIFY_TIMEOUT_SECONDS,
                trust_env=False,
                limits=httpx2.Limits(max_connections=50),
            )
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def check(self) -> None:
        """Raise when credentials does not answer; for readiness."""
        (await self._http.get("/livez")).raise_for_status()

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        """Return the principal, or None for any invalid credential; raises AccessUnavailableError.

        ``scope`` decides what happens while credentials does not answer: money, publishing and every change fail closed,
        reading goes on with an answer at most ``GRACE_SECONDS`` old.
        """
        fingerprint = hmac.digest(self._fingerprint_key, f"{credential}\0{ip}".encode(), hashlib.sha256)
        entry = self._entries.get(fingerprint)
        if entry is None or self._clock() - entry.read_at >= FRESH_SECONDS:
            try:
                entry = await self._ask_once(fingerprint, credential, ip)
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
                graced = entry is not None and self._clock() - entry.read_at < GRACE_SECONDS
                if entry is None or not graced or scope in FAIL_CLOSED_SCOPES:
                    raise AccessUnavailableError from exc
        principal = entry.principal
        if principal and principal.expires_at is not None and time.time() >= principal.expires_at:
            return None
        return principal

    async def _ask_once(self, fingerprint: bytes, credential: str, ip: Address | None) -> _Entry:
        """Ask; requests that wait for the same answer share one question, as long as it is a fresh one."""
        question = self._questions.get(fingerprint)
        if question is None or self._clock() - question.asked_at >= FRESH_SECONDS:
            asked_at = self._clock()
            question = _Question(asyncio.create_task(self._ask(fingerprint, credential, ip, asked_at)), asked_at)
            self._questions[fingerprint] = question
            question.answer.add_done_callback(lambda _task: self._close(fingerprint, question))
        return await asyncio.shield(question.answer)

    def _close(self, fingerprint: bytes, question: _Question) -> None:
        if self._questions.get(fingerprint) is question:
            del self._questions[fingerprint]
        if not question.answer.cancelled():
            question.answer.exception()  # seen, even where everybody who waited for it has gone

    async def _ask(self, fingerprint: bytes, credential: str, ip: Address | None, asked_at: float) -> _Entry:
        response = await self._http.post(
            "/v1/verify", json={"credential": credential, **({"source_ip": str(ip)} if ip else {})}
        )
        response.raise_for_status()
        answer = response.json()
        # An answer is only as fresh as the moment it was asked for, and an overtaken one does not replace a fresher.
        entry = _Entry(principal_from_wire(answer["principal"]) if answer["valid"] else None, asked_at)
        known = self._entries.get(fingerprint)
        if known is None or known.read_at <= asked_at:
            self._entries[fingerprint] = entry
            self._entries.move_to_end(fingerprint)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
        return entry
