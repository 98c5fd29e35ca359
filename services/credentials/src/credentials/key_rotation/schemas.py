"""Wire shapes of rotations."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

OVERLAP_SECONDS_MAX = 30 * 86_400


def _number_only(value: object) -> object:
    # JSON Schema's integers include 60.0; a text or a truth value is none of them.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a whole number is required")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    return value


OverlapSeconds = Annotated[int, Field(ge=0, le=OVERLAP_SECONDS_MAX), BeforeValidator(_number_only)]


class Rotate(BaseModel):
    """For how long the version that is replaced stays valid: 0 where it leaked, which then cannot be undone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: OverlapSeconds
