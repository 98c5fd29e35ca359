"""Who may give which scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from credentials.api_keys.grants import check_grant, effective_scopes
from shared.access import Principal
from shared.key_format import Environment, Kind
from shared.problems import Problem, ValidationFailed
from shared.scopes import BUILT_IN_ROLES, PLATFORM_SCOPES, PUBLIC_SCOPES, TENANT_SCOPES
from shared.typeids import new_id

ALL_SCOPES = sorted(TENANT_SCOPES.keys() | PLATFORM_SCOPES)
SOME_SCOPES = st.lists(st.sampled_from(ALL_SCOPES), unique=True, max_size=6)
SOME_ROLES = st.lists(st.sampled_from(sorted(BUILT_IN_ROLES)), unique=True, max_size=2)


def creator(*scopes: str, tenant: bool = True, environment: Environment = "live") -> Principal:
    """Return a credential that makes keys."""
    return Principal(
        credential_id="key_x",
        kind="secret" if tenant else "service",
        name="creator",
        tenant_id=new_id() if tenant else None,
        environment=environment,
        scopes=frozenset(scopes),
    )


PLATFORM = creator(*PLATFORM_SCOPES, "api_keys:write", tenant=False)


@given(has=SOME_SCOPES, scopes=SOME_SCOPES, roles=SOME_ROLES, kind=st.sampled_from(["secret", "public", "service"]))
def test_a_tenants_key_never_gets_more_than_its_creator_has(
    has: list[str], scopes: list[str], roles: list[str], kind: Kind
) -> None:
    """Whatever is asked for in whatever way: if it is granted, the creator had all of it, and it is no service key."""
    try:
        check_grant(creator=creator(*has), kind=kind, environment="live", scopes=scopes, roles=roles)
    except Problem:
        return
    assert effective_scopes(scopes, roles) <= frozenset(has) & TENANT_SCOPES.keys()
    assert kind != "service"
    assert kind != "public" or effective_scopes(scopes, roles) <= PUBLIC_SCOPES


@pytest.mark.parametrize(
    ("scopes", "roles"),
    [(["webhooks:write"], []), ([], ["owner"]), (["tenants:write"], [])],
    ids=["scope", "role", "platform"],
)
def test_more_than_the_creator_has_is_an_escalation(scopes: list[str], roles: list[str]) -> None:
    """By a scope, through a role, or a platform scope: one answer that names what is missing."""
    with pytest.raises(ScopeEscalation) as problem:
        check_grant(creator=creator("api_keys:write"), kind="secret", environment="live", scopes=scopes, roles=roles)
    assert (scopes or ["webhooks:write"])[0] in problem.value.detail


@pytest.mark.parametrize("role", sorted(BUILT_IN_ROLES))
def test_the_platform_may_give_any_tenant_scope(role: str) -> None:
    """That is how a tenant gets its first key."""
    check_grant(creator=PLATFORM, kind="secret", environment="live", scopes=sorted(TENANT_SCOPES), roles=[role])


def test_no_tenants_key_holds_a_platform_scope() -> None:
    """Not even the platform can give one."""
    with pytest.raises(ValidationFailed) as problem:
        check_grant(
            creator=PLATFORM, kind="secret", environment="live", scopes=["events:read", "tenants:read"], roles=[]
        )
    assert [error["pointer"] for error in problem.value.errors] == ["/scopes/1"]


def test_a_service_key_that_is_not_the_platforms_grants_only_what_it_has() -> None:
    """Belonging to no tenant is not enough to grant everything."""
    internal = creator("api_keys:write", "events:publish", tenant=False)
    check_grant(creator=internal, kind="secret", environment="live", scopes=["events:publish"], roles=[])
    with pytest.raises(ScopeEscalation):
        check_grant(creator=internal, kind="secret", environment="live", scopes=["balances:read"], roles=[])
    with pytest.raises(ScopeEscalation):
        check_grant(creator=internal, kind="service", environment="live", scopes=["events:publish"], roles=[])


def test_unknown_names_are_pointed_at() -> None:
    """Each unknown scope and role has its pointer."""
    with pytest.raises(ValidationFailed) as problem:
        check_grant(creator=PLATFORM, kind="secret", environment="live", scopes=["events:read", "nope"], roles=["king"])
    assert [error["pointer"] for error in problem.value.errors] == ["/scopes/1", "/roles/0"]


@pytest.mark.parametrize(("scopes", "roles"), [(["events:publish"], []), ([], ["auditor"])], ids=["scope", "role"])
def test_public_keys_only_read(scopes: list[str], roles: list[str]) -> None:
    """What a browser holds may read a few things and nothing else, also through a role."""
    with pytest.raises(ValidationFailed):
        check_grant(creator=creator(*TENANT_SCOPES), kind="public", environment="live", scopes=scopes, roles=roles)
    check_grant(
        creator=creator(*TENANT_SCOPES), kind="public", environment="live", scopes=sorted(PUBLIC_SCOPES), roles=[]
    )


@pytest.mark.parametrize(
    ("made_by", "environment", "allowed"),
    [
        (creator("api_keys:write"), "test", True),
        (creator("api_keys:write", environment="test"), "live", False),
        (creator("api_keys:write", environment="test"), "test", True),
        (PLATFORM, "test", True),
        (creator(*PLATFORM_SCOPES, tenant=False, environment="test"), "live", False),
    ],
    ids=["live makes test", "test makes live", "test makes test", "platform makes test", "test platform makes live"],
)
def test_test_never_reaches_live(made_by: Principal, environment: Environment, *, allowed: bool) -> None:
    """A test credential makes test keys alone; a live one makes both, of the tenant or of the platform."""
    if allowed:
        check_grant(creator=made_by, kind="secret", environment=environment, scopes=[], roles=[])
    else:
        with pytest.raises(EnvironmentMismatch):
            check_grant(creator=made_by, kind="secret", environment=environment, scopes=[], roles=[])
