"""The form of a request to ``/oauth2/``: ``application/x-www-form-urlencoded``, small, each parameter once (RFC 6749 §3.2)."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from credentials.oauth.errors import InvalidRequest

FORM_BYTES_MAX = 8 * 1024
PARAMETERS_MAX = 20
MEDIA_TYPE = "application/x-www-form-urlencoded"


def parse_form(body: bytes) -> Mapping[str, str]:
    """Return the parameters; those without a value count as left out, and unknown ones are for nobody, as the RFC says.

    Raises InvalidRequest.
    """
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
