"""Wire shapes of rotations."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from credentials.json_types import WHOLE_NUMBER

OVERLAP_SECONDS_MAX = 30 * 86_400

OverlapSeconds = Annotated[int, Field(ge=0, le=OVERLAP_SECONDS_MAX), WHOLE_NUMBER]


class Rotate(BaseModel):
    """For how long the version that is replaced stays valid: 0 where it leaked, which then cannot be undone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: OverlapSeconds
