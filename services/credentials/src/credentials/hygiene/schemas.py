"""Wire shapes of ``GET /v1/hygiene``."""

from typing import Literal

from pydantic import ConfigDict

from credentials.api_keys.examples import VIEW, shown
from credentials.api_keys.schemas import ApiKeyView

FindingName = Literal["never_expires", "unused", "scopes_never_exercised"]


class KeyFindings(ApiKeyView):
    """A key in force, and what is to be said of it."""

    model_config = ConfigDict(
        json_schema_extra=shown(
            {**VIEW, "findings": ["scopes_never_exercised"], "scopes_never_exercised": ["events:publish"]}
        )
    )

    findings: list[FindingName]
    scopes_never_exercised: list[str]
