"""Which scopes a key may hold, and who may give them: pure."""

from collections.abc import Iterable, Sequence

from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from shared.key_format import Environment, Kind
from shared.principals import Principal
from shared.problems import PointedError, ValidationFailed
from shared.scopes import BUILT_IN_ROLES, PLATFORM_SCOPES, PUBLIC_SCOPES, TENANT_SCOPES

_NO_SCOPES: frozenset[str] = frozenset()


def effective_scopes(scopes: Iterable[str], roles: Iterable[str]) -> frozenset[str]:
    """Return the scopes a key has by itself and by its roles; a role that is no more gives nothing."""
    return frozenset(scopes).union(*(BUILT_IN_ROLES.get(role, _NO_SCOPES) for role in roles))


def is_platform(principal: Principal) -> bool:
    """Tell whether a credential administers the platform: it belongs to no tenant and may make tenants."""
    return principal.tenant_id is None and "tenants:write" in principal.scopes


def check_grant(
    *, creator: Principal, kind: Kind, environment: Environment, scopes: Sequence[str], roles: Sequence[str]
) -> None:
    """Raise ValidationFailed, EnvironmentMismatch or ScopeEscalation unless ``creator`` may make such a key.

    A key never gets more than its creator has. A platform credential may give any tenant scope, and alone makes service
    keys, which belong to no tenant.
    """
    _check_known(scopes, roles)
    if environment != creator.environment and (creator.tenant_id is not None or creator.environment == "test"):
        raise EnvironmentMismatch
    if kind == "service" and not is_platform(creator):
        raise ScopeEscalation("Only a platform credential makes service keys: they may act for any tenant.")
    grantable = creator.scopes | (TENANT_SCOPES.keys() if is_platform(creator) else _NO_SCOPES)
    beyond = sorted(effective_scopes(scopes, roles) - grantable)
    if beyond:
        raise ScopeEscalation(f"The creating credential does not have: {', '.join(beyond)}.")
    _check_kind(kind, scopes, roles)


def _check_known(scopes: Sequence[str], roles: Sequence[str]) -> None:
    errors: list[PointedError] = [
        {"pointer": f"/scopes/{index}", "detail": "unknown scope"}
        for index, scope in enumerate(scopes)
        if scope not in TENANT_SCOPES and scope not in PLATFORM_SCOPES
    ]
    errors += [
        {"pointer": f"/roles/{index}", "detail": "unknown role"}
        for index, role in enumerate(roles)
        if role not in BUILT_IN_ROLES
    ]
    if errors:
        raise ValidationFailed(errors=errors)


def _check_kind(kind: Kind, scopes: Sequence[str], roles: Sequence[str]) -> None:
    if kind == "service":
        return
    allowed = PUBLIC_SCOPES if kind == "public" else TENANT_SCOPES.keys()
    detail = f"a {kind} key cannot hold this"
    errors: list[PointedError] = [
        {"pointer": f"/scopes/{index}", "detail": detail} for index, scope in enumerate(scopes) if scope not in allowed
    ]
    errors += [
        {"pointer": f"/roles/{index}", "detail": detail}
        for index, role in enumerate(roles)
        if not BUILT_IN_ROLES[role] <= allowed
    ]
    if errors:
        raise ValidationFailed(errors=errors)
