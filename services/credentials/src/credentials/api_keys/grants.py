"""Which scopes a key may hold, and who may give them: pure."""

from collections.abc import Iterable, Mapping, Sequence

from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from shared.key_format import Environment, Kind
from shared.principals import Principal
from shared.problems import PointedError, ValidationFailed
from shared.scopes import BUILT_IN_ROLES, PLATFORM_SCOPES, PUBLIC_SCOPES, TENANT_SCOPES

_NO_SCOPES: frozenset[str] = frozenset()

OwnRoles = Mapping[str, frozenset[str]]
"""The scopes of a realm's own roles by name, see ``credentials.roles.service.own_roles``."""
_NO_ROLES: OwnRoles = {}


def effective_scopes(
    scopes: Iterable[str], roles: Iterable[str], *, own_role_scopes: Iterable[str] = ()
) -> frozenset[str]:
    """Return the scopes a key has by itself, by built-in roles, and by own ones; a role that is no more gives nothing."""
    built_in = (BUILT_IN_ROLES.get(role, _NO_SCOPES) for role in roles)
    return frozenset(scopes).union(own_role_scopes, *built_in)


def holdable_scopes(kind: Kind) -> frozenset[str]:
    """Return what a key of this kind can hold at most, whatever it was given and whatever its roles have become."""
    if kind == "service":
        return PLATFORM_SCOPES | TENANT_SCOPES.keys()
    return PUBLIC_SCOPES if kind == "public" else frozenset(TENANT_SCOPES)


def grantable_scopes(creator: Principal) -> frozenset[str]:
    """Return what a credential may give: what it has, and from the platform any tenant scope."""
    return creator.scopes | (TENANT_SCOPES.keys() if is_platform(creator) else _NO_SCOPES)


def is_platform(principal: Principal) -> bool:
    """Tell whether a credential administers the platform: it belongs to no tenant and may make tenants."""
    return principal.tenant_id is None and "tenants:write" in principal.scopes


def check_grant(
    *,
    creator: Principal,
    kind: Kind,
    environment: Environment,
    scopes: Sequence[str],
    roles: Sequence[str],
    own_roles: OwnRoles = _NO_ROLES,
) -> None:
    """Raise ValidationFailed, EnvironmentMismatch or ScopeEscalation unless ``creator`` may make such a key.

    A key never gets more than its creator has. A platform credential may give any tenant scope, and alone makes service
    keys, which belong to no tenant. ``own_roles`` are those of the key's realm among ``roles``.
    """
    _check_known(scopes, roles, own_roles)
    check_maker(creator, kind=kind, environment=environment)
    own_role_scopes = _NO_SCOPES.union(*own_roles.values())
    check_not_beyond(creator, effective_scopes(scopes, roles, own_role_scopes=own_role_scopes))
    _check_kind(kind, scopes, roles, own_roles)


def check_maker(creator: Principal, *, kind: Kind, environment: Environment) -> None:
    """Raise EnvironmentMismatch or ScopeEscalation unless ``creator`` makes keys of this kind and environment at all."""
    if creator.environment == "test" and environment != "test":
        raise EnvironmentMismatch
    if kind == "service" and not is_platform(creator):
        raise ScopeEscalation("Only a platform credential makes service keys: they may act for any tenant.")


def check_not_beyond(creator: Principal, scopes: Iterable[str]) -> None:
    """Raise ScopeEscalation, naming what is missing, unless ``creator`` may give all of these."""
    beyond = sorted(frozenset(scopes) - grantable_scopes(creator))
    if beyond:
        raise ScopeEscalation(f"The creating credential does not have: {', '.join(beyond)}.")


def _check_known(scopes: Sequence[str], roles: Sequence[str], own_roles: OwnRoles) -> None:
    errors: list[PointedError] = [
        {"pointer": f"/scopes/{index}", "detail": "unknown scope"}
        for index, scope in enumerate(scopes)
        if scope not in TENANT_SCOPES and scope not in PLATFORM_SCOPES
    ]
    errors += [
        {"pointer": f"/roles/{index}", "detail": "unknown role"}
        for index, role in enumerate(roles)
        if role not in BUILT_IN_ROLES and role not in own_roles
    ]
    if errors:
        raise ValidationFailed(errors=errors)


def _check_kind(kind: Kind, scopes: Sequence[str], roles: Sequence[str], own_roles: OwnRoles) -> None:
    allowed = holdable_scopes(kind)
    by_name = {**own_roles, **BUILT_IN_ROLES}
    detail = f"a {kind} key cannot hold this"
    errors: list[PointedError] = [
        {"pointer": f"/scopes/{index}", "detail": detail} for index, scope in enumerate(scopes) if scope not in allowed
    ]
    errors += [
        {"pointer": f"/roles/{index}", "detail": detail}
        for index, role in enumerate(roles)
        if not by_name[role] <= allowed
    ]
    if errors:
        raise ValidationFailed(errors=errors)
