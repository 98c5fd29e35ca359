"""Names to addresses: without threads, so that no name waits for another."""

import socket
from collections.abc import Sequence
from typing import Any, Final

from aiodns import DNSResolver
from aiodns.error import DNSError
from aiohttp.abc import AbstractResolver, ResolveResult

TRY_SECONDS: Final = 2.0
TRIES: Final = 3


class SystemResolver(AbstractResolver):
    """The name servers and the hosts file of the system, asked by c-ares.

    ``getaddrinfo`` needs a thread for each look-up and keeps it for as long as the name's servers keep silent, whatever became of
    the request: a few dozens of such names would stop every other look-up in the process. Here a look-up that waits is a
    datagram that nobody has answered yet.

    All families are asked for, also those this machine cannot reach: a name with a denied address of any family is refused.
    ``name_servers`` and ``port`` (default: the system's) exist for tests.
    """

    def __init__(self, *, name_servers: Sequence[str] | None = None, port: int | None = None) -> None:
        self._name_servers = name_servers
        self._port = port
        self._asker: DNSResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of a name; raises OSError for none."""
        try:
            answer = await self._open().getaddrinfo(host, port=port, family=family, type=socket.SOCK_STREAM)
        except DNSError as error:
            raise OSError(f"{host}: {error.args[-1]}") from error
        return [
            ResolveResult(
                hostname=host,
                host=node.addr[0].decode(),
                port=port,
                family=node.family,
                proto=socket.IPPROTO_TCP,
                flags=0,
            )
            for node in answer.nodes
        ]

    def _open(self) -> DNSResolver:
        # At the first name and not before: it watches the system's configuration, and not everybody has names to look up.
        if self._asker is None:
            options: dict[str, Any] = {} if self._port is None else {"udp_port": self._port, "tcp_port": self._port}
            self._asker = DNSResolver(self._name_servers, timeout=TRY_SECONDS, tries=TRIES, **options)
        return self._asker

    async def close(self) -> None:
        """End what waits; closing twice is harmless."""
        if self._asker is not None:
            await self._asker.close()
            self._asker = None
