"""Facts about roles that callers are told.

Tree::

Conflict 409 ── BuiltInRole, RoleNameTaken, RoleInUse
"""

from shared.problems import Conflict


class BuiltInRole(Conflict):
    """A built-in role is fixed."""

    code, title = "built_in_role", "Built-in role"
    default_detail = "Built-in roles cannot be changed or deleted; make a role of your own."


class RoleNameTaken(Conflict):
    """There is a role of this name, built in or of the tenant's own."""

    code, title = "role_name_taken", "Role name taken"
    default_detail = "There is a role of this name already."


class RoleInUse(Conflict):
    """Keys hold the role, so it can be neither deleted nor renamed."""

    code, title = "role_in_use", "Role in use"
    default_detail = "Keys hold this role; take it from them, or revoke them, first."
