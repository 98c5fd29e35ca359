"""Facts about rotations that callers are told.

Tree::

Conflict 409 ── ApiKeyNotActive, TooManyVersions, NothingToUndo
"""

from shared.problems import Conflict


class ApiKeyNotActive(Conflict):
    """The key is revoked or expired."""

    code, title = "api_key_not_active", "API key not active"
    default_detail = "A revoked or expired key is not rotated; make a new one."


class TooManyVersions(Conflict):
    """So many versions of the key still live that another rotation has to wait."""

    code, title = "too_many_versions", "Too many versions"
    default_detail = "Too many earlier versions of this key still live: finish the rotation first."


class NothingToUndo(Conflict):
    """No earlier version lives any more that could be restored."""

    code, title = "nothing_to_undo", "Nothing to undo"
    default_detail = "A rotation can be undone while the version it replaced still lives."
