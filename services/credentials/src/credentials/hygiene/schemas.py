"""Wire shapes of ``GET /v1/hygiene``."""

from typing import Literal

from credentials.api_keys.schemas import ApiKeyView

FindingName = Literal["never_expires", "unused", "scopes_never_exercised"]


class KeyFindings(ApiKeyView):
    """A key in force, and what is to be said of it."""

    findings: list[FindingName]
    scopes_never_exercised: list[str]
