"""Signatures of request bodies the older way: a wire contract with integrators of the CRM (design: crm-compat.md).

Two forms in the header ``signature``: 40 upper-case hex characters of SHA-1 over the body's pairs with the API key appended,
or ``sha256=`` and the hex HMAC-SHA256 of the body's bytes under the API key. The first has no time, no nonce, and for nested
values no documented form: such a body is never guessed at. Used by ``shared.access`` for every service.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from jiter import LosslessFloat

from shared import strict_json

SHA256_PREFIX = "sha256="
_SHA1_FORM = re.compile(r"[0-9A-F]{40}", re.ASCII)


class UnsignableError(ValueError):
    """The SHA-1 scheme has no documented form for this body."""


def is_signed(body: bytes, *, signature: str, key: str) -> bool:
    """Tell whether ``signature`` is the one of these exact bytes under ``key``, in either form."""
    if signature.startswith(SHA256_PREFIX):
        expected = SHA256_PREFIX + hmac.digest(key.encode(), body, hashlib.sha256).hex()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    if _SHA1_FORM.fullmatch(signature) is None:
        return False
    try:
        fields = strict_json.loads(body)
        expected = sha1_signature(fields, key=key) if isinstance(fields, dict) else ""
    except (strict_json.MalformedJsonError, UnsignableError):
        return False
    return hmac.compare_digest(expected, signature)


def sha1_signature(fields: Mapping[str, Any], *, key: str) -> str:
    """Return the upper-case hex SHA-1 of the pairs sorted by name, joined by ``&``, with the key appended.

    Numbers stand as they were sent, arrays are joined with commas, empty fields are left out. Raises UnsignableError.
    """
    pairs = ((name, _text(value)) for name, value in sorted(fields.items()))
    signed = "&".join(f"{name}={text}" for name, text in pairs if text)
    return hashlib.sha1(f"{signed}{key}".encode(), usedforsecurity=False).hexdigest().upper()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | LosslessFloat) and not isinstance(value, bool):
        return str(value)
    raise UnsignableError
