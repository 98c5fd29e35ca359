"""The only way out of Causeway over HTTP.

It stands on aiohttp's connector and response parser but not on ``aiohttp.ClientSession``. A session sends an idempotent
request (PUT, DELETE) a second time by itself when a pooled connection turns out to be dead; here a request is written once,
in one place, so whether it was sent is never a guess. Redirects, cookies, environment proxies and netrc are session features too,
and do not exist here. A session also takes a third to a half more CPU.
"""

import asyncio
import functools
import ssl
import time
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Final, NamedTuple, Self

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientSSLError,
    EofStream,
    InvalidURL,
    StreamReader,
)
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from shared.egress.address_guard import AddressPolicy
from shared.egress.connector import Clock, GuardedConnector, GuardedProtocol, SocketRefused
from shared.egress.destination import Destination, parse_destination
from shared.egress.errors import (
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DestinationRefused,
    EgressClosed,
    NameNotResolved,
    ResponseBroken,
    ResponseMalformed,
    TlsFailed,
)
from shared.egress.request_head import request_head
from shared.egress.resolver import SystemResolver
from shared.egress.response_body import Body, read_body

RESPONSE_BYTES_MAX: Final = 16_384
HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 8_190
INTERIM_RESPONSES_MAX: Final = 8
READ_BUFFER_BYTES: Final = 16_384
DESTINATIONS_CACHED_MAX: Final = 8_192
# Below the 5 s after which common servers (Node, uvicorn) close idle connections: a request that meets such a closing
# is lost without a trace, and would be an unknown outcome.
IDLE_SECONDS: Final = 4.0
CONNECTION_AGE_SECONDS_MAX: Final = 60.0
DNS_CACHE_SECONDS: Final = 5

_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL_STATUS: Final = 200


class EgressResponse(NamedTuple):
    """A complete answer, of any status. ``headers`` are as received, in order; ``body`` is decoded.

    ``truncated``: the body went on beyond ``response_bytes_max`` and the connection was closed there.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    truncated: bool
    duration_ms: float
    remote_address: str | None

    def header(self, name: str) -> str | None:
        """Return the first header of that name (any case), or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


class EgressClient:
    """A pool of guarded connections. Make one per process with ``open``; it is safe for any number of tasks."""

    def __init__(self, connector: GuardedConnector, resolver: AbstractResolver, policy: AddressPolicy) -> None:
        self._connector = connector
        self._resolver = resolver
        self._loop = asyncio.get_running_loop()
        self._destination = functools.lru_cache(DESTINATIONS_CACHED_MAX)(
            functools.partial(parse_destination, policy=policy)
        )
        self._origin_request = functools.lru_cache(DESTINATIONS_CACHED_MAX)(self._new_origin_request)

    @classmethod
    async def open(
        cls,
        policy: AddressPolicy,
        *,
        connections_max: int,
        connections_per_host_max: int = 0,
        resolver: AbstractResolver | None = None,
        ssl_context: SSLContext | None = None,
        idle_seconds: float = IDLE_SECONDS,
        connection_age_seconds_max: float = CONNECTION_AGE_SECONDS_MAX,
        dns_cache_seconds: int = DNS_CACHE_SECONDS,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Return a client for the running loop. ``connections_per_host_max`` 0 leaves that limit to the caller.

        ``resolver`` (default: the system's) is judged, closed with the client, and never asked for literals. ``ssl_context``
        (default: the system's authorities, TLS 1.2 or later) exists for tests.
        """
        resolver = resolver or SystemResolver()
        context = ssl_context if ssl_context is not None else await asyncio.to_thread(_default_ssl_context)
        connector = GuardedConnector(
            policy,
            resolver=resolver,
            ssl_context=context,
            connections_max=connections_max,
            connections_per_host_max=connections_per_host_max,
            idle_seconds=idle_seconds,
            connection_age_seconds_max=connection_age_seconds_max,
            dns_cache_seconds=dns_cache_seconds,
            clock=clock,
        )
        return cls(connector, resolver, policy)

    async def aclose(self) -> None:
        """Close every connection; requests in flight end with their usual errors. Closing twice is harmless."""
        await self._connector.close()
        await self._resolver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def request(
        self,
        method: str,
        url: str | Destination,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline_seconds: float,
        response_bytes_max: int = RESPONSE_BYTES_MAX,
    ) -> EgressResponse:
        """Send one request at most once and return the answer, whatever its status.

        ``deadline_seconds`` covers everything: waiting for a connection, DNS, connect, TLS, headers and body. Raises the types
        of ``errors.py``: a ``NotSent`` when no byte of the request was written, else a ``SentUnknown``. A status
        whose body does not arrive is such an error as well, and carries the ``status``: time-out ``DeadlineExceeded``
        (stage ``body``), broken connection ``ResponseBroken``, undecodable ``ResponseMalformed``.
        """
        started = time.perf_counter()
        destination = url if isinstance(url, Destination) else self._destination(url)
        request_bytes = request_head(method, destination, headers, body) + (body or b"")
        connection: Connection | None = None
        status: int | None = None
        reusable = False
        try:
            async with asyncio.timeout(deadline_seconds):
                connection, protocol = await self._acquire(destination)
                message, stream = await _exchange_heads(protocol, request_bytes, with_body=method != "HEAD")
                status = message.code
                answer = await read_body(
                    stream, compression=message.compression, bytes_max=response_bytes_max, status=status
                )
                _refuse_cut_off(protocol, message, answer)
                reusable = answer.complete and _everything_written(protocol)
        except TimeoutError as error:
            if connection is None:
                raise ConnectTimeout(f"no connection within {deadline_seconds} s") from error
            raise DeadlineExceeded(stage="headers" if status is None else "body", status=status) from error
        except HttpProcessingError as error:
            raise ResponseMalformed(error.message, status=status) from error
        except (ClientError, EofStream, OSError, RuntimeError) as error:  # RuntimeError: closed while being read
            raise ResponseBroken(str(error) or type(error).__name__, status=status) from error
        finally:
            if connection is not None:
                _give_back(connection, reusable=reusable)
        return EgressResponse(
            status,
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.raw_headers],
            answer.content,
            answer.truncated,
            (time.perf_counter() - started) * 1000,
            protocol.remote_address,
        )

    async def _acquire(self, destination: Destination) -> tuple[Connection, GuardedProtocol]:
        """Return a connection ready for writing; every failure in here is a ``NotSent``."""
        if self._connector.closed:
            raise EgressClosed("the client is closed")
        try:
            return await self._connector.acquire(self._origin_request(destination.scheme, destination.host_header))
        except ClientConnectorDNSError as error:
            raise NameNotResolved(f"{destination.host}: no answer") from error
        except ClientSSLError as error:
            raise TlsFailed(str(error)) from error
        except ClientConnectorError as error:
            if isinstance(error.os_error, SocketRefused):
                raise error.os_error.blocked from error
            raise ConnectFailed(str(error)) from error
        except InvalidURL as error:
            raise DestinationRefused("malformed", "the host cannot be connected to") from error
        except (ClientError, OSError, RuntimeError) as error:  # uvloop reports some failures as RuntimeError
            raise ConnectFailed(str(error)) from error

    def _new_origin_request(self, scheme: str, host_header: str) -> ClientRequest:
        """Make what aiohttp's connector wants to know of a request; it is the same for all requests to one origin."""
        return ClientRequest("POST", URL(f"{scheme}://{host_header}/"), loop=self._loop)


async def _exchange_heads(
    protocol: GuardedProtocol, request_bytes: bytes, *, with_body: bool
) -> tuple[RawResponseMessage, StreamReader]:
    """Write the request, the only write in this package, and return the final response's head and body stream."""
    protocol.used = True
    protocol.set_response_params(
        skip_payload=not with_body,
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        max_headers=HEADERS_MAX,
    )
    transport = protocol.transport
    assert transport is not None  # acquire() has just seen it connected, and nothing ran in between
    transport.write(request_bytes)
    for _ in range(INTERIM_RESPONSES_MAX):
        message, stream = await protocol.read()
        if message.code >= _FIRST_FINAL_STATUS or message.code == _SWITCHING_PROTOCOLS:
            return message, stream
    raise ResponseMalformed(f"more than {INTERIM_RESPONSES_MAX} interim responses")


def _refuse_cut_off(protocol: GuardedProtocol, message: RawResponseMessage, answer: Body) -> None:
    """Raise ``ResponseBroken`` when a body that ends with its connection ended by a reset: aiohttp calls that complete."""
    if not isinstance(protocol.exception(), OSError) or answer.truncated:
        return
    if not message.chunked and "content-length" not in message.headers:
        raise ResponseBroken("the connection was reset in the body", status=message.code)


def _everything_written(protocol: GuardedProtocol) -> bool:
    """Tell whether the request has left; a peer may answer early, and the rest must not precede the next request."""
    return protocol.transport is not None and protocol.transport.get_write_buffer_size() == 0


def _give_back(connection: Connection, *, reusable: bool) -> None:
    protocol = connection.protocol
    if reusable and isinstance(protocol, GuardedProtocol):
        protocol.idle = True
        connection.release()
    else:
        connection.close()


def _default_ssl_context() -> SSLContext:
    """Return the system's authorities with host names checked. Reads files: call it off the event loop."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
