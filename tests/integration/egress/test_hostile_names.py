"""Names that lie, asked for at a real name server: nobody is connected to whom the guard does not let pass.

Every answer has a time to live of 0, so whoever remembers one does so by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from shared.egress import AddressBlocked, AddressPolicy, ConnectFailed, EgressClient, NameNotResolved, TlsFailed
from shared.egress.resolver import SystemResolver
from support.egress_peer import OK, Peer, answer, run_peer
from support.name_server import NameServer

PRODUCTION = AddressPolicy()
ONE_ADDRESS = AddressPolicy([ip_network("127.0.0.1/32")])
NAME = "hooks.example.com"
GOOD, BAD = ip_address("127.0.0.1"), ip_address("127.0.0.2")


def _words(text: str) -> list[str]:
    return text.split()


#: The list of addresses that must be refused, as a name server can give them.
HOSTILE = _words("""
    127.0.0.1 127.127.127.127 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 169.254.169.254 169.254.170.2
    100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 192.88.99.1 224.0.0.1 240.0.0.1 255.255.255.255
    :: ::1 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:7f00:1:: 2001::1 fe80::1
    fec0::1 fd00:ec2::254 ff02::1 3fff::1 5f00::1 ::ffff:0:7f00:1
""")


@asynccontextmanager
async def _client(server: NameServer, policy: AddressPolicy) -> AsyncIterator[EgressClient]:
    resolver = SystemResolver(name_servers=["127.0.0.1"], port=server.port)
    async with await EgressClient.open(policy, connections_max=4, resolver=resolver, dns_cache_seconds=0) as client:
        yield client


async def _post(client: EgressClient, peer: Peer, name: str = NAME) -> None:
    await client.request("POST", f"https://{name}:{peer.port}/", headers={}, body=b"x", deadline_seconds=5)


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_name_leads_to_a_denied_address(name_server: NameServer, text: str) -> None:
    """Alone, and behind a public address, in either order: the whole name is refused, and nobody is connected to."""
    address = ip_address(text)
    name_server.zone["public-first.example.com"] = [ip_address("8.8.8.8"), address]
    name_server.zone["public-last.example.com"] = [address, ip_address("2606:4700::1111")]
    name_server.zone[NAME] = [address]
    async with run_peer(answer(OK)) as peer, _client(name_server, PRODUCTION) as client:
        for name in (NAME, "public-first.example.com", "public-last.example.com"):
            with pytest.raises(AddressBlocked) as blocked:
                await _post(client, peer, name)
            assert blocked.value.address == address
        assert peer.connections == 0


@pytest.mark.parametrize("public", ["8.8.8.8", "2606:4700::1111"])
async def test_a_public_address_of_one_family_hides_no_private_one_of_the_other(
    name_server: NameServer, public: str
) -> None:
    """A with AAAA: both are asked for and judged."""
    first = ip_address(public)
    private: IPv4Address | IPv6Address = ip_address("fd00::1" if first.version == 4 else "10.0.0.1")
    name_server.zone[NAME] = [first, private]
    async with run_peer(answer(OK)) as peer, _client(name_server, PRODUCTION) as client:
        with pytest.raises(AddressBlocked) as blocked:
            await _post(client, peer)
    assert blocked.value.address == private


async def test_an_alias_is_judged_by_where_it_leads(name_server: NameServer) -> None:
    """However long the chain, and however well each name of it looks."""
    name_server.aliases |= {NAME: "edge.example.net", "edge.example.net": "origin.example.org"}
    name_server.zone["origin.example.org"] = [GOOD]
    async with run_peer(answer(OK)) as peer, _client(name_server, PRODUCTION) as client:
        with pytest.raises(AddressBlocked):
            await _post(client, peer)
        assert peer.connections == 0


@pytest.mark.parametrize("aliases", [{NAME: NAME}, {NAME: "b.example", "b.example": NAME}, {NAME: "nowhere.example"}])
async def test_an_alias_that_leads_nowhere_is_no_address(name_server: NameServer, aliases: dict[str, str]) -> None:
    """Round in a circle, and to a name that has none."""
    name_server.aliases |= aliases
    async with run_peer(answer(OK)) as peer, _client(name_server, PRODUCTION) as client:
        with pytest.raises(NameNotResolved):
            await _post(client, peer)


@pytest.mark.parametrize("alias", ["", "flips.example.net"])
async def test_a_name_that_flips_is_judged_at_each_connection(name_server: NameServer, alias: str) -> None:
    """Good when it was registered and at the first attempt, denied at the second: also where the alias behind it flips."""

    async def hang_up(_peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    if alias:
        name_server.aliases[NAME] = alias
    name_server.zone[alias or NAME] = [GOOD]
    async with run_peer(hang_up) as peer, _client(name_server, ONE_ADDRESS) as client:
        with pytest.raises((TlsFailed, ConnectFailed)):
            await _post(client, peer)
        assert peer.connections == 1
        name_server.zone[alias or NAME] = [BAD]
        with pytest.raises(AddressBlocked) as blocked:
            await _post(client, peer)
        assert (blocked.value.address, peer.connections) == (BAD, 1)


async def test_a_name_that_flips_between_the_look_up_and_the_connection_changes_nothing(
    name_server: NameServer,
) -> None:
    """What was judged is what is connected to: nobody asks a second time on the way."""
    name_server.zone[NAME] = [BAD]
    async with run_peer(answer(OK)) as peer, _client(name_server, ONE_ADDRESS) as client:
        with pytest.raises(AddressBlocked):
            await _post(client, peer)
        asked = name_server.questions
        assert asked == 2, "one question for each family"
