"""Who calls, and what they may do: the dependency of every route, and the client by which siblings verify credentials.

- ``dependencies``: ``require`` and its like, for routes;
- ``presented``: the credential that a request carries;
- ``client``: the siblings' Verifier, which remembers answers and follows the revocation feed;
- ``jwt``: access tokens, which credentials signs and everybody reads.

Used by every service, which import these names from here.
"""

from shared.access.client import AccessClient
from shared.access.dependencies import (
    authenticate,
    count_request,
    realm_of,
    require,
    require_platform,
    require_realm_or_platform,
    required_scope,
)
from shared.access.questions import FRESH_SECONDS
from shared.principals import (
    AccessUnavailableError,
    Address,
    Caller,
    PlatformCaller,
    Principal,
    Realm,
    TooManyGuessesError,
    Verifier,
    principal_from_wire,
    principal_to_wire,
)

__all__ = [
    "FRESH_SECONDS",
    "AccessClient",
    "AccessUnavailableError",
    "Address",
    "Caller",
    "PlatformCaller",
    "Principal",
    "Realm",
    "TooManyGuessesError",
    "Verifier",
    "authenticate",
    "count_request",
    "principal_from_wire",
    "principal_to_wire",
    "realm_of",
    "require",
    "require_platform",
    "require_realm_or_platform",
    "required_scope",
]
