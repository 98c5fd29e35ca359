"""Wire shapes of rotations."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

OVERLAP_SECONDS_MAX = 30 * 86_400

OverlapSeconds = Annotated[StrictInt, Field(ge=0, le=OVERLAP_SECONDS_MAX)]


class Rotate(BaseModel):
    """For how long the version that is replaced stays valid: 0 where it leaked, which then cannot be undone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: OverlapSeconds
