"""The wallet under judgement as an HTTP peer: requests signed rightly or wrongly, sent as they are."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from shared import strict_json
from shared.egress import EgressClient, EgressError
from shared.ewp.signature_errors import SignatureMissingError, SignatureRefusedError
from shared.ewp.signatures import Request, sign_request, verify_response
from shared.ewp.signing_keys import HmacKey, SigningKey
from wallet_gateway.conformance.rule import RuleBrokenError

_ANSWER_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, of whatever status. ``signature``: the answer's own is "absent" or "good", else why it is refused."""

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]]
    signature: str
    call: str

    def json(self) -> Any:
        """Return the body, read strictly; raises RuleBrokenError."""
        try:
            return strict_json.loads(self.body)
        except strict_json.MalformedJsonError as error:
            raise RuleBrokenError(f"{self.call}: the answer's body is no JSON: {error.detail}") from error

    def expect(self, *statuses: int) -> "Reply":
        """Return the answer if its status is one of these; raises RuleBrokenError."""
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            raise RuleBrokenError(f"{self.call} answered {self.status} instead of {wanted}: {_excerpt(self.body)}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How a request is signed; the usual is right. ``clock_seconds`` is added to the time, ``keys`` replace the kit's own."""

    keys: Sequence[SigningKey] | None = None
    clock_seconds: float = 0.0
    nonce: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where the wallet is, and the key that it knows."""

    egress: EgressClient
    base_url: str
    key: HmacKey
    timeout_seconds: float
    usual: Signing = field(default_factory=Signing)

    def signed_headers(
        self, method: str, target: str, body: bytes = b"", signing: Signing | None = None
    ) -> dict[str, str]:
        """Return the fields of a signed request to ``target``, a path and query below the base URL."""
        how = signing or self.usual
        created = int(time.time() + how.clock_seconds)
        return sign_request(
            how.keys or [self.key], self.request(method, target, body), created=created, nonce=how.nonce
        )

    def request(self, method: str, target: str, body: bytes = b"") -> Request:
        """Return what is signed of a request."""
        url = urlsplit(self.base_url + target)
        whole = url.path + (f"?{url.query}" if url.query else "")
        return Request(method=method, scheme=url.scheme, authority=url.netloc, target=whole, body=body)

    async def call(
        self,
        method: str,
        target: str,
        content: Any = None,
        *,
        body: bytes | None = None,
        signing: Signing | None = None,
    ) -> Reply:
        """Send a signed request; raises RuleBrokenError when no answer comes."""
        sent = body if body is not None else (orjson.dumps(content) if content is not None else b"")
        return await self.send(method, target, sent, self.signed_headers(method, target, sent, signing))

    async def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a request with exactly these fields; raises RuleBrokenError when no answer comes."""
        call = f"{method} {target}"
        fields = {**headers, "content-type": "application/json"} if body else dict(headers)
        try:
            answer = await self.egress.request(
                method,
                self.base_url + target,
                headers=fields,
                body=body or None,
                deadline_seconds=self.timeout_seconds,
                response_bytes_max=_ANSWER_BYTES_MAX,
            )
        except EgressError as error:
            raise RuleBrokenError(f"{call}: no answer ({error.code}: {error})") from error
        return Reply(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            signature=self._judged(answer.status, answer.body, answer.headers, headers.get("signature", "")),
            call=call,
        )

    def _judged(self, status: int, body: bytes, headers: Sequence[tuple[str, str]], request_signature: str) -> str:
        try:
            verify_response(
                status=status,
                body=body,
                headers=headers,
                request_signature=request_signature,
                keys={self.key.key_id: self.key},
                now=time.time(),
            )
        except SignatureMissingError:
            return "absent"
        except SignatureRefusedError as refused:
            return f"{refused.code}: {refused}"
        return "good"


def _excerpt(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace") or "an empty body"
