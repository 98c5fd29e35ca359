"""Which headers a webhook's owner may add to our requests: none that is ours, or that says how a request is carried. Pure.

Names are compared without letter case, and with ``_`` as ``-``: servers that hand headers on in CGI's way (``HTTP_WEBHOOK_ID``)
make one of the two, and a custom ``Webhook_Id`` would be taken for ours there.
"""

import re
from collections.abc import Mapping
from typing import Final

CUSTOM_HEADERS_MAX: Final = 20

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
#: Printable ASCII without a line break: a folded value, or a second header in one, cannot be written.
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?", re.ASCII)
_FORMAT_SIGNATURES: Final = frozenset({"x-crm-signature", "x-signature"})
_OURS: Final = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "content-range", "content-transfer-encoding"}
    | {"user-agent", "accept-encoding", "cookie", "connection", "keep-alive", "transfer-encoding", "te", "trailer"}
    | {"trailers", "upgrade", "expect", "http2-settings", "max-forwards"}
    | _FORMAT_SIGNATURES
    | {f"{name}-previous" for name in _FORMAT_SIGNATURES}
)
_OUR_PREFIXES: Final = ("webhook-", "proxy-", ":")


def comparable(name: str) -> str:
    """Return the form under which two names are one header."""
    return name.lower().replace("_", "-")


def check_custom_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers; raises ValueError for one that is malformed, ours, or there twice."""
    if len({comparable(name) for name in headers}) != len(headers):
        raise ValueError("a header stands twice, in different letter case or with _ for -")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name[:64]!r} is not a header of printable ASCII characters")
        if _is_ours(name):
            raise ValueError(f"{name!r} is set by us and cannot be overridden")
    return headers


def check_signature_header(name: str | None) -> str | None:
    """Return the name for a format's own signature; raises ValueError for one that is malformed or says something else."""
    if name is not None:
        if not _NAME.fullmatch(name):
            raise ValueError("not a header name")
        if _is_ours(name) and comparable(name) not in _FORMAT_SIGNATURES:
            raise ValueError(f"{name!r} is set by us")
    return name


def without_ours(custom: Mapping[str, str], ours: frozenset[str]) -> dict[str, str]:
    """Return the custom headers that may stand beside ``ours`` (comparable names): one of ours always wins."""
    return {name: value for name, value in custom.items() if comparable(name) not in ours}


def _is_ours(name: str) -> bool:
    known = comparable(name)
    return known in _OURS or known.startswith(_OUR_PREFIXES)
