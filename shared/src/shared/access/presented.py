"""The credential that a request carries."""

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

from shared.problems import MultipleCredentials

_CREDENTIAL_CHARS_MAX = 4096


def presented_credential(request: Request) -> str | None:
    """Return the one credential of a request, None without a usable one; raises MultipleCredentials."""
    authorization = request.headers.get("authorization")
    api_key = request.headers.get("x-api-key")
    if authorization is not None and api_key is not None:
        raise MultipleCredentials
    if authorization is not None:
        scheme, credential = get_authorization_scheme_param(authorization)
        if scheme.lower() != "bearer":
            return None
    else:
        credential = api_key or ""
    return credential if 0 < len(credential) <= _CREDENTIAL_CHARS_MAX else None
