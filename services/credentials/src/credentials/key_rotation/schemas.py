"""Wire shapes of rotations."""

from pydantic import BaseModel, ConfigDict

from shared.wire_fields import OverlapSeconds


class Rotate(BaseModel):
    """For how long the version that is replaced stays valid: 0 where it leaked, which then cannot be undone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: OverlapSeconds
