"""How a sibling verifies: it asks credentials, remembers for half a second, and knows what to do without an answer."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from shared.access import (
    FRESH_SECONDS,
    GRACE_SECONDS,
    AccessClient,
    AccessUnavailableError,
    Principal,
    principal_from_wire,
    principal_to_wire,
)
from shared.scopes import FAIL_CLOSED_SCOPES, PLATFORM_SCOPES, TENANT_SCOPES
from shared.typeids import new_id

PRINCIPAL = Principal(
    credential_id="key_x",
    kind="secret",
    name="key",
    tenant_id=new_id(),
    environment="live",
    scopes=frozenset({"events:read"}),
    expires_at=None,
)
VALID = {"valid": True, "principal": principal_to_wire(PRINCIPAL), "sequence": 1}
INVALID = {"valid": False, "sequence": 2}


class Credentials:
    """A stand-in for the credentials service: counts questions, and answers as told."""

    def __init__(self) -> None:
        self.questions: list[httpx2.Request] = []
        self.answer: Callable[[], Awaitable[httpx2.Response]] = self.valid

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one question."""
        self.questions.append(request)
        return await self.answer()

    async def valid(self) -> httpx2.Response:
        """Say that the credential is valid."""
        return httpx2.Response(200, json=VALID)

    async def invalid(self) -> httpx2.Response:
        """Say that it is not."""
        return httpx2.Response(200, json=INVALID)

    async def away(self) -> httpx2.Response:
        """Not be there."""
        raise httpx2.ConnectError("refused")


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def credentials() -> Credentials:
    return Credentials()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(credentials: Credentials, clock: Clock) -> AccessClient:
    transport = httpx2.MockTransport(credentials.handle)
    return AccessClient(httpx2.AsyncClient(transport=transport, base_url="http://credentials"), clock=clock)


async def test_an_answer_serves_for_half_a_second(client: AccessClient, credentials: Credentials, clock: Clock) -> None:
    """One question until then, another one from then on, so that a revocation is seen."""
    for _ in range(3):
        assert await client.verify("k", ip=None, scope="events:read") == PRINCIPAL
    assert len(credentials.questions) == 1
    credentials.answer = credentials.invalid
    clock.now += FRESH_SECONDS - 0.001
    assert await client.verify("k", ip=None, scope="events:read") == PRINCIPAL
    clock.now += 0.001
    assert await client.verify("k", ip=None, scope="events:read") is None
    assert await client.verify("k", ip=None, scope="events:read") is None
    assert len(credentials.questions) == 2


async def test_requests_at_once_share_one_question(client: AccessClient, credentials: Credentials) -> None:
    """A burst with one credential asks once."""
    principals = await asyncio.gather(*(client.verify("k", ip=None, scope="events:read") for _ in range(50)))
    assert principals == [PRINCIPAL] * 50
    assert len(credentials.questions) == 1


async def test_a_question_that_has_become_old_is_not_joined(
    client: AccessClient, credentials: Credentials, clock: Clock
) -> None:
    """Its answer may have been read before a revocation; and when it comes late, it does not replace a newer one."""
    held = asyncio.Event()

    async def slowly_valid() -> httpx2.Response:
        await held.wait()
        return await credentials.valid()

    credentials.answer = slowly_valid
    slow = asyncio.create_task(client.verify("k", ip=None, scope="events:read"))
    while not credentials.questions:
        await asyncio.wait({slow}, timeout=0.001)
    clock.now += FRESH_SECONDS
    credentials.answer = credentials.invalid
    assert await client.verify("k", ip=None, scope="events:read") is None
    held.set()
    await slow
    assert await client.verify("k", ip=None, scope="events:read") is None
    assert len(credentials.questions) == 2


@pytest.mark.parametrize("scope", sorted(FAIL_CLOSED_SCOPES))
async def test_without_an_answer_money_and_changes_fail_closed(
    client: AccessClient, credentials: Credentials, clock: Clock, scope: str
) -> None:
    """However fresh the last answer was, once it is over half a second old."""
    await client.verify("k", ip=None, scope=scope)
    clock.now += FRESH_SECONDS
    credentials.answer = credentials.away
    with pytest.raises(AccessUnavailableError):
        await client.verify("k", ip=None, scope=scope)


async def test_without_an_answer_reading_goes_on_for_a_bounded_time(
    client: AccessClient, credentials: Credentials, clock: Clock
) -> None:
    """With what was known last, valid or not; then it ends; and what was never known is not let in."""
    await client.verify("k", ip=None, scope="events:read")
    credentials.answer = credentials.invalid
    await client.verify("bad", ip=None, scope="events:read")
    credentials.answer = credentials.away
    clock.now += GRACE_SECONDS - 0.001
    assert await client.verify("k", ip=None, scope="events:read") == PRINCIPAL
    assert await client.verify("bad", ip=None, scope="events:read") is None
    with pytest.raises(AccessUnavailableError):
        await client.verify("never seen", ip=None, scope="events:read")
    clock.now += 0.001
    with pytest.raises(AccessUnavailableError):
        await client.verify("k", ip=None, scope="events:read")


@pytest.mark.parametrize(
    "response",
    [
        httpx2.Response(500),
        httpx2.Response(401, json={}),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json={}),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"valid": True, "principal": {}}),
        httpx2.Response(302, headers={"location": "http://elsewhere/"}),
    ],
    ids=["500", "401", "html", "empty", "list", "no principal", "redirect"],
)
async def test_any_other_answer_is_no_answer(
    client: AccessClient, credentials: Credentials, response: httpx2.Response
) -> None:
    """Nobody is let in by something that is not the documented answer."""

    async def other() -> httpx2.Response:
        return response

    credentials.answer = other
    with pytest.raises(AccessUnavailableError):
        await client.verify("k", ip=None, scope="events:read")


async def test_memory_never_outlives_the_expiry(credentials: Credentials, clock: Clock) -> None:
    """A principal whose time is over is not used, however fresh the answer."""
    expired = principal_to_wire(PRINCIPAL) | {"expires_at": 1.0}

    async def valid_but_expired() -> httpx2.Response:
        return httpx2.Response(200, json={"valid": True, "principal": expired, "sequence": 1})

    credentials.answer = valid_but_expired
    transport = httpx2.MockTransport(credentials.handle)
    client = AccessClient(httpx2.AsyncClient(transport=transport, base_url="http://credentials"), clock=clock)
    assert await client.verify("k", ip=None, scope="events:read") is None


async def test_the_memory_holds_no_credential_and_is_bounded(
    client: AccessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries stand under a keyed fingerprint; beyond the limit the oldest goes."""
    monkeypatch.setattr("shared.access.ENTRIES_MAX", 10)
    for number in range(30):
        await client.verify(f"secret-{number}", ip=None, scope="events:read")
    assert len(client._entries) == 10
    assert "secret-" not in repr(client._entries)


def test_principal_comes_back_from_the_wire() -> None:
    """With and without a tenant."""
    assert principal_from_wire(principal_to_wire(PRINCIPAL)) == PRINCIPAL


def test_what_fails_closed() -> None:
    """Everything that is not plain reading."""
    assert {"events:publish", "transfers:create", "transfers:resolve"} | PLATFORM_SCOPES <= FAIL_CLOSED_SCOPES
    assert all(scope.endswith(":read") for scope in TENANT_SCOPES.keys() - FAIL_CLOSED_SCOPES)
