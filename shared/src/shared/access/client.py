"""The siblings' Verifier. A sibling never holds the pepper: it asks ``POST /v1/verify`` of credentials, and remembers.

How a revocation comes into force in under a second, with or without Valkey:

- while the feed is live, an answer serves for up to ``ANSWER_SECONDS``, and a row of the feed drops what it names;
- without a heartbeat for ``TRUST_SECONDS`` (``feed``), nothing remembered is trusted and each request asks;
- if asking fails too, money, publishing and every change fail closed; reading goes on for a bounded grace. The first to find out
  wait for their time limit, nobody after them (``questions``);
- an answer that was read before a revocation and arrives after it (the fill race) is discarded and asked for again.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from shared import key_format
from shared.access.feed import FeedFollower
from shared.access.feed_metrics import Applied, expose
from shared.access.guesses import GuessLimiter
from shared.access.jwks import PublishedKeys
from shared.access.jwt import KEY_ID_PREFIX
from shared.access.memory import Answer, Answers, targets_of
from shared.access.questions import FRESH_SECONDS, Asked, Questions
from shared.access.refusals import Refusals
from shared.access.tokens import TokenReader
from shared.principals import AccessUnavailableError, Address, Principal, Refusal, principal_from_wire
from shared.scopes import FAIL_CLOSED_SCOPES

ANSWER_SECONDS = 30.0
"""How long an answer serves while the feed is live."""
GRACE_SECONDS = 30.0
"""How long reading may go on with an old answer while credentials does not answer at all."""
_VERIFY_TIMEOUT_SECONDS = 2.0
_ASKS_MAX = 3
_FAILURES = (httpx2.HTTPError, ValueError, KeyError, TypeError)


class AccessClient:
    """Asks credentials, remembers, and follows the revocation feed once ``start_following`` was called."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        feed_http: httpx2.AsyncClient,
        *,
        issuer: str = "",
        service: str = "sibling",
        grace_seconds: float = GRACE_SECONDS,
        guesses_per_minute: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._feed_http = feed_http
        self._grace_seconds = grace_seconds
        self._guesses = GuessLimiter(per_minute=guesses_per_minute, clock=clock)
        self._clock = clock
        self._answers = Answers()
        self._questions = Questions(self._ask, clock=clock)
        self._following: asyncio.Task[None] | None = None
        self.feed = FeedFollower(
            feed_http,
            service=service,
            instance=f"{socket.gethostname()}-{os.getpid()}",
            drop=self._drop,
            drop_all=self._drop_all,
            clock=clock,
        )
        self._refusals = Refusals(http, clock=clock)
        self._keys = PublishedKeys(http, clock=clock)
        self._tokens = TokenReader(self._keys, self.feed, issuer=issuer)

    @classmethod
    def open(
        cls,
        credentials_url: str,
        service_key: SecretStr,
        *,
        issuer: str | None = None,
        service: str = "sibling",
        grace_seconds: float = GRACE_SECONDS,
        guesses_per_minute: int = 0,
    ) -> "AccessClient":
        """Make a client; it connects at the first question. ``service_key`` needs ``credentials:verify``.

        ``issuer`` is whom access tokens name as theirs; by default ``credentials_url``.
        """

        def client(connections_max: int) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                base_url=credentials_url,
                headers={"authorization": f"Bearer {service_key.get_secret_value()}"},
                timeout=_VERIFY_TIMEOUT_SECONDS,
                trust_env=False,
                limits=httpx2.Limits(max_connections=connections_max),
            )

        return cls(
            client(50),
            client(2),
            issuer=(issuer or credentials_url).rstrip("/"),
            service=service,
            grace_seconds=grace_seconds,
            guesses_per_minute=guesses_per_minute,
        )

    def start_following(self, registry: CollectorRegistry | None = None) -> None:
        """Follow the feed until ``aclose``; with a registry, show how far it has come among the metrics."""
        self._following = asyncio.create_task(self.feed.follow(), name="revocation feed")
        if registry is not None:
            expose(registry, self._applied)

    def _drop(self, kind: str, target: UUID, sequence: int) -> None:
        self._answers.drop(target)
        if kind == KEY_ID_PREFIX:
            self._keys.block(target, sequence=sequence)

    def _drop_all(self, sequence: int) -> None:
        self._answers.clear()
        self._keys.clear(sequence=sequence)

    def _applied(self) -> list[Applied]:
        feed = self.feed
        return [Applied(feed.service, feed.applied or 0, feed.took_seconds, is_live=feed.is_live())]

    async def aclose(self) -> None:
        """Stop following, and close all connections."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self._questions.aclose()
        await self._refusals.aclose()
        await self._keys.aclose()
        await self._feed_http.aclose()
        await self._http.aclose()

    async def check(self) -> None:
        """Raise when credentials does not answer; for readiness."""
        (await self._http.get("/livez")).raise_for_status()

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        """Return the principal, or None for any invalid credential; raises AccessUnavailableError or TooManyGuessesError.

        ``scope`` decides what happens while credentials does not answer: money, publishing and every change fail closed,
        reading goes on with an answer that was good at most ``grace_seconds`` ago.
        """
        principal = await self._principal(credential, ip, scope)
        if principal is None or (principal.expires_at is not None and time.time() >= principal.expires_at):
            self._guesses.failed(credential, ip)
            return None
        return principal

    def denied(self, credential: str, _principal: Principal, *, reason: Refusal, ip: Address | None) -> None:
        """Have the owner told, by credentials, that a credential was good and its request was refused all the same."""
        fingerprint = self._answers.fingerprint(credential, ip)
        self._refusals.tell(credential, fingerprint=fingerprint, reason=reason, ip=ip)

    async def _principal(self, credential: str, ip: Address | None, scope: str) -> Principal | None:
        fingerprint = self._answers.fingerprint(credential, ip)
        answer = self._answers.get(fingerprint)
        is_usable = answer is not None and self._is_usable(answer)
        if answer is None or not is_usable or (answer.principal is not None and scope not in answer.told_scopes):
            # A JSON Web Token has dots; anything else must carry a right checksum.
            token = await self._tokens.read(credential) if "." in credential else None
            if token is None and key_format.parse(credential) is None:
                return None
            asked = Asked(fingerprint, credential, ip, scope, token)
            local = self._judge_here(asked, answer, is_usable=is_usable)
            answer = local or await self._refreshed(asked, answer, is_usable=is_usable)
        return answer.principal

    def _is_usable(self, answer: Answer) -> bool:
        age_seconds = self._clock() - answer.asked_at
        if answer.principal is None:
            return age_seconds < FRESH_SECONDS
        return age_seconds < ANSWER_SECONDS and self.feed.is_live()

    def _judge_here(self, asked: Asked, known: Answer | None, *, is_usable: bool) -> Answer | None:
        """Return the answer about an access token where the feed leaves no doubt; credentials is told of its use all the same."""
        is_denied = known is not None and known.principal is None
        if asked.token is None or is_denied or not self._tokens.is_certain(asked.token):
            return None
        if known is None or not is_usable:
            told = known.told_scopes if known is not None else frozenset[str]()
            known = Answer(
                principal=asked.token.principal(),
                asked_at=self._clock(),
                told_scopes=told,
                token_targets=asked.token.own_targets,
            )
            self._answers.put(asked.fingerprint, known)
        self._questions.ask_beside(asked)
        return known

    async def _refreshed(self, asked: Asked, known: Answer | None, *, is_usable: bool) -> Answer:
        if known is not None and is_usable:
            # Good anyway: credentials is only told the scope.
            self._questions.ask_beside(asked)
            return known
        if known is not None and not self._is_graced(known, asked.scope):
            known = None
        if known is not None and self._questions.is_lost:
            self._questions.ask_beside(asked)
            return known
        try:
            return await self._questions.answer(asked)
        except _FAILURES as exc:
            if known is None or self._answers.get(asked.fingerprint) is not known:
                raise AccessUnavailableError from exc
            return known

    def _is_graced(self, answer: Answer, scope: str) -> bool:
        """Tell whether reading may go on with an answer: it was good when the feed was last heard, or when it was asked for."""
        if scope in FAIL_CLOSED_SCOPES:
            return False
        good_at = max(answer.asked_at, min(self.feed.heard_at, answer.asked_at + ANSWER_SECONDS))
        return self._clock() - good_at < self._grace_seconds

    async def _ask(self, asked: Asked) -> Answer:
        async with self._guesses.look_up(asked.ip):
            return await self._ask_until_it_holds(asked)

    async def _ask_until_it_holds(self, asked: Asked) -> Answer:
        token_targets = asked.token.own_targets if asked.token is not None else ()
        for _ in range(_ASKS_MAX):
            asked_at = self._clock()
            said = await self._ask_credentials(asked)
            principal = principal_from_wire(said["principal"]) if said["valid"] else None
            read_at = int(said["sequence"])
            # A revocation may have been applied while the answer was on its way: then neither keep nor give it.
            if principal is None or self.feed.tombstones.allow(*targets_of(principal), *token_targets, read_at=read_at):
                known = self._answers.get(asked.fingerprint)
                told = known.told_scopes | {asked.scope} if known is not None else frozenset({asked.scope})
                answer = Answer(principal=principal, asked_at=asked_at, told_scopes=told, token_targets=token_targets)
                self._answers.put(asked.fingerprint, answer)
                return answer
        raise AccessUnavailableError

    async def _ask_credentials(self, asked: Asked) -> dict[str, Any]:
        question: dict[str, Any] = {"credential": asked.credential, "min_sequence": self.feed.applied or 0}
        if asked.ip is not None:
            question["source_ip"] = str(asked.ip)
        if asked.scope:
            question["used_scope"] = asked.scope
        response = await self._http.post("/v1/verify", json=question)
        response.raise_for_status()
        said: dict[str, Any] = response.json()
        return said
