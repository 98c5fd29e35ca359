"""Names are looked up with the system's means, all families, and none waits for another."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from shared.egress import AddressBlocked, AddressPolicy, NameNotResolved
from shared.egress.address_guard import Address
from shared.egress.connector import GuardedResolver
from shared.egress.resolver import SystemResolver
from support.name_server import NameServer, name_server

SILENT = 200


def _resolver(server: NameServer) -> SystemResolver:
    return SystemResolver(name_servers=["127.0.0.1"], port=server.port)


async def test_names_whose_servers_keep_silent_delay_no_other() -> None:
    """Two hundred look-ups that nobody answers are under way, and another name is answered as if they were not there."""
    silent = [f"silent-{number}.example" for number in range(SILENT)]
    async with name_server({"good.example": [ip_address("127.0.0.9")], **dict.fromkeys(silent)}) as server:
        resolver = _resolver(server)
        waiting = [asyncio.create_task(resolver.resolve(name)) for name in silent]
        await server.until_asked(silent)
        async with asyncio.timeout(1):
            (answer,) = await resolver.resolve("good.example", 443)
        assert (answer["host"], answer["port"]) == ("127.0.0.9", 443)
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await resolver.close()


async def test_every_family_is_asked_for() -> None:
    """A name has all its addresses, whatever this machine can reach: the guard must see each."""
    addresses = [ip_address(text) for text in ("127.0.0.9", "198.51.100.7", "2001:db8::7", "::1")]
    async with name_server({"both.example": addresses}) as server:
        resolver = _resolver(server)
        answers = await resolver.resolve("both.example")
        assert sorted(answer["host"] for answer in answers) == sorted(str(address) for address in addresses)
        await resolver.close()


@pytest.mark.parametrize("name", ["missing.example", "empty.example"])
async def test_no_address_is_no_answer(name: str) -> None:
    """A name that does not exist, and one without an address."""
    async with name_server({"empty.example": []}) as server:
        resolver = _resolver(server)
        with pytest.raises(OSError, match=name):
            await resolver.resolve(name)
        await resolver.close()


async def test_the_hosts_file_is_read() -> None:
    """Containers find one another by it."""
    resolver = SystemResolver()
    assert {answer["host"] for answer in await resolver.resolve("localhost")} & {"127.0.0.1", "::1"}
    await resolver.close()
    await resolver.close()


async def test_the_guard_judges_what_it_is_told(loopback: AddressPolicy) -> None:
    """A good answer passes, one with a denied address of the other family is refused, and none is no answer."""
    zone: dict[str, Sequence[Address] | None] = {
        "good.example": [ip_address("127.0.0.1")],
        "mixed.example": [ip_address("127.0.0.1"), ip_address("fd00::1")],
    }
    async with name_server(zone) as server:
        resolver = GuardedResolver(_resolver(server), loopback)
        (good,) = await resolver.resolve("good.example", 443)
        assert good["host"] == "127.0.0.1"
        with pytest.raises(AddressBlocked):
            await resolver.resolve("mixed.example", 443)
        with pytest.raises(NameNotResolved):
            await resolver.resolve("missing.example", 443)
        await resolver.close()
