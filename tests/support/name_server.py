"""A name server on loopback that answers what a test says, or keeps silent."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from pathlib import Path

_TYPES = {1: IPv4Address, 28: IPv6Address}
_NO_SUCH_NAME = 0x8183
_ANSWERED = 0x8180
_CNAME = 5
_CHAIN_MAX = 8


class NameServer(asyncio.DatagramProtocol):
    """See RFC 1035, section 4. ``zone`` has the addresses of each name; None says that nobody answers for it.

    ``aliases`` are names that stand for others (CNAME): all of a chain is in the answer, as a recursive server gives it.
    """

    def __init__(
        self, zone: dict[str, Sequence[IPv4Address | IPv6Address] | None], *, aliases: Mapping[str, str] | None = None
    ) -> None:
        self.zone = zone
        self.aliases = dict(aliases or {})
        self.asked: set[str] = set()
        self.questions = 0
        self._asked = asyncio.Event()
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # of datagrams
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer the one question of a query."""
        name, end = _name(data, 12)
        (kind,) = struct.unpack_from("!H", data, end)
        self.asked.add(name)
        self.questions += 1
        self._asked.set()
        chain = [name]
        while chain[-1] in self.aliases and len(chain) <= _CHAIN_MAX:
            chain.append(self.aliases[chain[-1]])
        addresses = self.zone.get(chain[-1], ())
        if addresses is None:
            return
        fitting = [address for address in addresses if isinstance(address, _TYPES.get(kind, ()))]
        flags = _ANSWERED if chain[-1] in self.zone or len(chain) > 1 else _NO_SUCH_NAME
        records = [_record(owner, _CNAME, _encoded(target)) for owner, target in pairwise(chain)]
        records += [_record(chain[-1], kind, address.packed) for address in fitting]
        answers = b"".join(records)
        head = data[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + answers, addr)

    async def until_asked(self, names: Iterable[str]) -> None:
        """Wait until each of the names was asked for."""
        while not self.asked.issuperset(names):
            self._asked.clear()
            await self._asked.wait()


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(owner: str, kind: int, value: bytes) -> bytes:
    """Return a record that nobody may remember: its time to live is 0."""
    return _encoded(owner) + struct.pack("!HHIH", kind, 1, 0, len(value)) + value


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


@asynccontextmanager
async def name_server(
    zone: dict[str, Sequence[IPv4Address | IPv6Address] | None], *, aliases: Mapping[str, str] | None = None
) -> AsyncIterator[NameServer]:
    """Serve a zone until the block ends."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone, aliases=aliases), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


def chosen_name_server_environment(port: int) -> dict[str, str]:
    """Return what makes a process of ours ask this name server alone, see ``chosen_name_server/sitecustomize.py``."""
    folder = Path(__file__).with_name("chosen_name_server")
    return {"CHAOS_NAME_SERVER_PORT": str(port), "PYTHONPATH": str(folder)}
