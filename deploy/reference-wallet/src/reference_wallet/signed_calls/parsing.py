"""The JSON of a signed body, read strictly into a model."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.problems import PointedError, ValidationFailed
from shared.request_body import parse_json
from shared.strict_json import pointer_of

_Model = TypeVar("_Model", bound=BaseModel)
_FAULTS_SHOWN_MAX = 20


def parsed(model: type[_Model], body: bytes) -> _Model:
    """Return the body as the model; raises ValidationFailed that points at each fault."""
    try:
        return model.model_validate(parse_json(body))
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=False, include_input=False)[:_FAULTS_SHOWN_MAX]
        errors: list[PointedError] = [
            {"pointer": pointer_of(fault["loc"]), "detail": fault["msg"].removeprefix("Value error, ")}
            for fault in faults
        ]
        raise ValidationFailed(errors=errors) from None
