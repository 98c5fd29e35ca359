"""Facts about API keys that callers are told.

Tree::

Forbidden 403 ── ScopeEscalation, EnvironmentMismatch
Conflict 409 ─── ApiKeyRevoked
"""

from shared.problems import Conflict, Forbidden


class ScopeEscalation(Forbidden):
    """A key would get more than its creator has: scopes, addresses, or time."""

    code, title = "scope_escalation", "Scope escalation"
    default_detail = "A key never gets more than its creator has."


class EnvironmentMismatch(Forbidden):
    """A key would belong to an environment that its creator, or the request's X-Environment, leaves out."""

    code, title = "environment_mismatch", "Environment mismatch"
    default_detail = (
        "A test credential makes test keys only, and a request with X-Environment keys of that environment."
    )


class ApiKeyRevoked(Conflict):
    """The key was revoked, which is for good: its record stays as it is."""

    code, title = "api_key_revoked", "API key revoked"
    default_detail = "A revoked key does not change any more; make a new one."
