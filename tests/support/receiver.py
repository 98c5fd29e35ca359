"""A destination for tests: verifies each request with two public packages, answers as scripted, and remembers what came.

Runs in the test's own loop (``running_receiver``), or as a process of its own (``receiver_process``).
"""

import asyncio
import http
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import standardwebhooks
import svix.webhooks

LOOPBACK = "127.0.0.1"
_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a destination does with a request: answers, late if ``delay_seconds``; or, with ``hold``, not until released."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b"ok"
    delay_seconds: float = 0.0
    hold: bool = False

    def raw(self) -> bytes:
        """Return the bytes of the answer."""
        head = f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}\r\ncontent-length: {len(self.body)}\r\n"
        return (head + "".join(f"{name}: {value}\r\n" for name, value in self.headers) + "\r\n").encode(
            "latin-1"
        ) + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request. ``verified`` holds, for each of the hook's secrets, whether both packages accepted the signature."""

    at: float
    webhook_id: str
    headers: dict[str, str]
    body: bytes
    verified: tuple[bool, ...]


@dataclass(slots=True, kw_only=True)
class Hook:
    """One URL of the receiver. ``answers`` are used up in order, then ``otherwise`` is given."""

    url: str
    webhook_id: str = ""
    secrets: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = Answer()
    choose: Callable[[Received], Answer] | None = None
    received: list[Received] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    held: list[asyncio.Transport] = field(default_factory=list)
    in_flight: int = 0
    in_flight_max: int = 0
    unverified: int = 0
    keeps_requests: bool = True
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, received: Received) -> Answer:
        """Note a request and return what to do with it."""
        if not any(received.verified):
            self.unverified += 1
        if self.keeps_requests:
            self.received.append(received)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        answer = self.choose(received) if self.choose else self._next_answer()
        if 200 <= answer.status < 300 and not answer.hold:
            self.accepted[received.webhook_id] += 1
        self._changed.set()
        return answer

    def _next_answer(self) -> Answer:
        return self.answers.pop(0) if self.answers else self.otherwise

    def ids(self) -> list[str]:
        """Return the webhook-id of each request, in the order they came."""
        return [item.webhook_id for item in self.received]

    def release(self, answer: Answer | None = None, *, count: int | None = None) -> None:
        """Answer the requests that are held, or the first ``count`` of them."""
        released, self.held = self.held[:count], [] if count is None else self.held[count:]
        for transport in released:
            self.in_flight -= 1
            transport.write((answer or Answer()).raw())

    async def until(self, condition: Callable[["Hook"], bool], *, seconds: float = _WAIT_SECONDS) -> None:
        """Wait for a condition on what came; raises TimeoutError telling how much that was."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(
                f"{self.url} got {len(self.received)} requests in {seconds} s: {self.ids()[:10]}"
            ) from None

    async def until_received(self, count: int, *, seconds: float = _WAIT_SECONDS) -> list[Received]:
        """Wait for ``count`` requests and return all that came."""
        await self.until(lambda hook: len(hook.received) >= count, seconds=seconds)
        return self.received


class Receiver:
    """The hooks of one server, by path."""

    def __init__(self) -> None:
        self.base_url = ""
        self.hooks: dict[str, Hook] = {}
        self.control: Callable[[str, str, bytes], bytes] | None = None

    def hook(self, name: str, **fields: object) -> Hook:
        """Add a URL."""
        hook = Hook(url=f"{self.base_url}/{name}", **fields)  # type: ignore[arg-type]  # the dataclass checks the names
        self.hooks[f"/{name}"] = hook
        return hook


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1 for a client with Content-Length that waits for each answer."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        request, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) >= length:
            self._buffer = rest[length:]
            method, path, _version = request.split(" ")
            self._handle(method, path, headers, rest[:length])

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        hook = self._receiver.hooks.get(path)
        if hook is None:
            reply = self._receiver.control(method, path, body) if self._receiver.control else b""
            self._transport.write(Answer(status=200 if self._receiver.control else 404, body=reply).raw())
            return
        received = Received(
            at=time.monotonic(),
            webhook_id=headers.get("webhook-id", ""),
            headers=headers,
            body=body,
            verified=tuple(is_accepted(secret, headers, body) for secret in hook.secrets),
        )
        answer = hook.take(received)
        if answer.hold:
            hook.held.append(self._transport)
        elif answer.delay_seconds:
            asyncio.get_running_loop().call_later(answer.delay_seconds, self._answer, hook, answer)
        else:
            self._answer(hook, answer)

    def _answer(self, hook: Hook, answer: Answer) -> None:
        hook.in_flight -= 1
        self._transport.write(answer.raw())


def is_accepted(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Tell whether both public packages accept the signature under a secret."""
    try:
        standardwebhooks.Webhook(secret).verify(body, headers)
        svix.webhooks.Webhook(secret).verify(body, headers)
    except (standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError, ValueError):
        return False
    return True


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """Serve on a free port of loopback until the block ends."""
    receiver = Receiver()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(receiver), LOOPBACK, 0, backlog=1024)
    receiver.base_url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
        for hook in receiver.hooks.values():
            for transport in hook.held:
                transport.abort()
