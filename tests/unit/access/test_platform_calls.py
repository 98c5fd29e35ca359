"""Calls of the platform: a scope alone opens none of them, whoever came by it."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.datastructures import State

from credentials.oauth.callers import VERIFY_SCOPE, require_verifier
from shared import typeids
from shared.access import Principal, require_platform
from shared.problems import InsufficientScope, TenantMismatch

SERVICE = Principal(
    credential_id="key_01j9zq3s8hf3mbq5w7t2k4v6xy",
    kind="service",
    name="siblings",
    tenant_id=None,
    environment="live",
    scopes=frozenset({VERIFY_SCOPE, "tenants:write"}),
)
OF_A_TENANT = replace(SERVICE, kind="secret", tenant_id=typeids.new_id())


class Knows:
    """A verifier that knows one principal, whatever is presented."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    async def verify(self, _credential: str, **_rest: Any) -> Principal | None:
        """Return it."""
        return self.principal


def request_of(principal: Principal) -> Request:
    """Return a request that this principal sends."""
    app = FastAPI()
    app.state.resources = State({"access": Knows(principal)})
    app.state.key_limiter = None
    state = {"ip": None, "request_id": "r"}
    return Request({"type": "http", "headers": [(b"authorization", b"Bearer x")], "app": app, "state": state})


@pytest.mark.parametrize("scope", [VERIFY_SCOPE, "tenants:write"])
async def test_a_tenants_credential_that_holds_the_scope_is_still_no_platforms(scope: str) -> None:
    """No tenant's key can hold such a scope; should one ever come by it, by a role or a fault, it opens nothing."""
    dependency = require_platform(scope).dependency
    assert (await dependency(request_of(SERVICE))).principal is SERVICE
    with pytest.raises(InsufficientScope):
        await dependency(request_of(OF_A_TENANT))


async def test_a_tenants_credential_that_holds_the_scope_looks_at_no_tokens() -> None:
    """The same where verifiers come as OAuth 2.0 has it."""
    assert await require_verifier(request_of(SERVICE)) is SERVICE
    with pytest.raises(InsufficientScope):
        await require_verifier(request_of(OF_A_TENANT))


async def test_a_test_credential_makes_no_call_that_concerns_the_live_environment() -> None:
    """Where the call says so."""
    test = replace(SERVICE, environment="test")
    assert (await require_platform("tenants:write").dependency(request_of(test))).principal is test
    with pytest.raises(TenantMismatch):
        await require_platform("tenants:write", live=True).dependency(request_of(test))
