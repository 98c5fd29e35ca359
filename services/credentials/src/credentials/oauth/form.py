"""The form of a request to ``/oauth2/``: ``application/x-www-form-urlencoded``, small, each parameter once (RFC 6749 §3.2)."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import Request

from credentials.oauth.errors import BodyTooLarge, InvalidRequest
from shared.problems import PayloadTooLarge, UnsupportedMediaType
from shared.request_body import read_body

FORM_BYTES_MAX = 8 * 1024
PARAMETERS_MAX = 20
_MEDIA_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the parameters; those without a value count as left out, and unknown ones are for nobody, as the RFC says.

    Raises InvalidRequest or BodyTooLarge.
    """
    if request.url.query:
        raise InvalidRequest("Parameters belong in the body, not in the URL.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise InvalidRequest(f"Send the parameters as {_MEDIA_TYPE}.")
    try:
        body = await read_body(request, bytes_max=FORM_BYTES_MAX)
    except PayloadTooLarge as exc:
        raise BodyTooLarge from exc
    except UnsupportedMediaType as exc:
        raise InvalidRequest(exc.detail) from exc
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError as exc:  # also what is not UTF-8
        raise InvalidRequest("The form could not be read.") from exc
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise InvalidRequest("A parameter was sent more than once.")
        form[name] = value
    return {name: value for name, value in form.items() if value}
