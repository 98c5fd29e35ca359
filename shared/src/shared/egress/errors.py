"""What can go wrong between Causeway and a destination, as types.

::

    EgressError
    ├── NotSent                    no byte of the request has left this process
    │   ├── DestinationRefused     the URL itself is not acceptable
    │   ├── RequestRefused         the method or a header is not acceptable
    │   ├── AddressBlocked         the address guard denies the address
    │   ├── NameNotResolved        DNS has no usable answer
    │   ├── ConnectFailed          refused, unreachable, or closed before the request
    │   ├── TlsFailed              the handshake failed or the certificate is not trusted
    │   ├── ConnectTimeout         the deadline passed before a connection was ready
    │   └── EgressClosed           the client is shut down
    └── SentUnknown                the peer may have the request, and may have acted on it
        ├── DeadlineExceeded       the deadline passed while waiting for headers or body
        ├── ResponseBroken         the connection ended before the response did
        └── ResponseMalformed      what came back is not valid HTTP, or breaks a limit

The first level is what decides about money and duplicates: after ``NotSent`` nothing happened, after ``SentUnknown`` anything
may have. Callers catch these types; ``code`` is for storage and display and never changes.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Literal


class EgressError(Exception):
    """Base of everything this package raises on purpose."""

    code: ClassVar[str]


class NotSent(EgressError):  # noqa: N818 - errors are named facts
    """Nothing of the request was written to any connection: repeating it is always safe."""


class DestinationRefused(NotSent):
    """The URL cannot be a destination. ``reason`` is a stable snake_case code, ``detail`` is for people."""

    code = "destination_refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class RequestRefused(NotSent):
    """The method or a header cannot be put on the wire, for example because a value holds a line break."""

    code = "request_refused"


class AddressBlocked(NotSent):
    """The address guard denies ``address``; ``reason`` names the rule in snake_case."""

    code = "address_blocked"

    def __init__(self, address: IPv4Address | IPv6Address | None, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class NameNotResolved(NotSent):
    code = "name_not_resolved"


class ConnectFailed(NotSent):
    code = "connect_failed"


class TlsFailed(NotSent):
    code = "tls_failed"


class ConnectTimeout(NotSent):
    """The deadline passed during DNS, connect or TLS, or while waiting for a free connection."""

    code = "connect_timeout"


class EgressClosed(NotSent):
    """The client was closed, or never opened: our own fault, never the destination's."""

    code = "egress_closed"


class SentUnknown(EgressError):  # noqa: N818 - errors are named facts
    """The request may have reached the peer. ``status`` is the response's status if it arrived, else None."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class DeadlineExceeded(SentUnknown):
    """The total deadline passed after sending began; ``stage`` is what was being waited for."""

    code = "timeout"

    def __init__(self, *, stage: Literal["headers", "body"], status: int | None = None) -> None:
        super().__init__(f"deadline passed while waiting for the response's {stage}", status=status)
        self.stage = stage


class ResponseBroken(SentUnknown):
    code = "response_broken"


class ResponseMalformed(SentUnknown):
    code = "response_malformed"
