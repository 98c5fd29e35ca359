"""Wire shapes of key pairs."""

from pydantic import BaseModel, ConfigDict

from credentials.api_keys import examples
from credentials.api_keys.examples import shown
from credentials.api_keys.schemas import ApiKeyCreated
from shared.key_format import Environment
from shared.wire_fields import OverlapSeconds


class PairWanted(BaseModel):
    """Where, and for how long the pair that is replaced stays valid; not at all unless said."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"environment": "live", "overlap_seconds": 3600}]}
    )

    environment: Environment
    overlap_seconds: OverlapSeconds = 0


class PairCreated(BaseModel):
    """A new pair with the texts of both keys: the only time they are shown."""

    model_config = ConfigDict(json_schema_extra=shown({"public": examples.CREATED_PUBLIC, "secret": examples.CREATED}))

    public: ApiKeyCreated
    secret: ApiKeyCreated
