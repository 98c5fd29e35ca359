"""What a sibling makes of the answers it gets: the documented ones, and whatever else may come instead."""

from dataclasses import replace

import httpx2
import pytest

from shared import key_format
from shared.access import (
    AccessClient,
    AccessUnavailableError,
    Principal,
    principal_from_wire,
    principal_to_wire,
)
from shared.access.feed import TRUST_SECONDS
from shared.scopes import FAIL_CLOSED_SCOPES, PLATFORM_SCOPES, TENANT_SCOPES
from shared.typeids import new_id
from support.fake_credentials import FakeCredentials

KEY = key_format.generate("secret", "live")
PRINCIPAL = Principal(
    credential_id="key_x",
    kind="secret",
    name="key",
    tenant_id=new_id(),
    environment="live",
    scopes=frozenset({"events:read"}),
    expires_at=None,
)


@pytest.mark.parametrize(
    "response",
    [
        httpx2.Response(500),
        httpx2.Response(401, json={}),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json={}),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"valid": True, "principal": {}, "sequence": 0}),
        httpx2.Response(200, json={"valid": True, "principal": principal_to_wire(PRINCIPAL)}),
        httpx2.Response(302, headers={"location": "http://elsewhere/"}),
    ],
    ids=["500", "401", "html", "empty", "list", "no principal", "no sequence", "redirect"],
)
async def test_any_other_answer_is_no_answer(response: httpx2.Response) -> None:
    """Nobody is let in by something that is not the documented answer."""
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: response), base_url="http://credentials.test")
    with pytest.raises(AccessUnavailableError):
        await AccessClient(http, http).verify(KEY, ip=None, scope="events:read")


@pytest.mark.parametrize("scope", sorted(FAIL_CLOSED_SCOPES))
async def test_without_an_answer_money_and_changes_fail_closed(scope: str) -> None:
    """However lately the credential was found good, once the feed is silent."""
    credentials = FakeCredentials()
    key, client = credentials.new_key(), credentials.client()
    await client.feed.ask(wait_seconds=0)
    assert await client.verify(key, ip=None, scope=scope)
    credentials.is_up = False
    credentials.clock.now += TRUST_SECONDS
    with pytest.raises(AccessUnavailableError):
        await client.verify(key, ip=None, scope=scope)


@pytest.mark.parametrize("principal", [PRINCIPAL, replace(PRINCIPAL, tenant_id=None)], ids=["tenant", "platform"])
def test_principal_comes_back_from_the_wire(principal: Principal) -> None:
    """With and without a tenant."""
    assert principal_from_wire(principal_to_wire(principal)) == principal


def test_what_fails_closed() -> None:
    """Everything that is not plain reading."""
    assert {"events:publish", "transfers:create", "transfers:resolve"} | PLATFORM_SCOPES <= FAIL_CLOSED_SCOPES
    assert all(scope.endswith(":read") for scope in TENANT_SCOPES.keys() - FAIL_CLOSED_SCOPES)
