"""Write the head of an HTTP/1.1 request."""

import functools
import re
from collections.abc import Mapping
from typing import Final

from shared.egress.destination import Destination
from shared.egress.errors import RequestRefused

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

# What frames the message or steers the connection belongs to this package alone.
RESERVED_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def request_head(method: str, destination: Destination, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return the request line and the headers, ending in the empty line; raise ``RequestRefused`` for unfit input.

    ``host``, ``accept-encoding: identity`` and ``content-length`` are added; see ``RESERVED_HEADERS``.
    """
    if method not in METHODS:
        raise RequestRefused(f"method {method!r} is not supported")
    if _CONTROL.search("".join(headers.values())):
        raise RequestRefused("a header value holds a control character")
    lines = [f"{method} {destination.target} HTTP/1.1\r\nhost: {destination.host_header}\r\naccept-encoding: identity"]
    for name, value in headers.items():
        if not header_name_allowed(name):
            raise RequestRefused(f"header {name!r} is malformed or reserved")
        lines.append(f"{name}: {value}")
    if body is not None:
        lines.append(f"content-length: {len(body)}\r\n\r\n")
    elif method in METHODS_WITH_BODY:
        lines.append("content-length: 0\r\n\r\n")
    else:
        lines.append("\r\n")
    try:
        return "\r\n".join(lines).encode()
    except UnicodeEncodeError as error:
        raise RequestRefused("a header value is not valid text") from error


@functools.lru_cache(maxsize=4096)
def header_name_allowed(name: str) -> bool:
    """Tell whether a caller may send a header of this name."""
    return _TOKEN.fullmatch(name) is not None and name.lower() not in RESERVED_HEADERS
