"""Wire shapes of ``POST /v1/leaked-keys``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class LeakedKey(BaseModel):
    """A key that somebody found where it should not be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "cw_sk_live_…"}]})

    key: Annotated[SecretStr, Field(max_length=4096)]


class Reported(BaseModel):
    """Thank you; whether there is such a key is its owner's to know."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "accepted"}]})

    status: Literal["accepted"] = "accepted"
