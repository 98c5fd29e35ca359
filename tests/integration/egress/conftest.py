"""Clients that may reach loopback."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from shared.egress import AddressPolicy, EgressClient
from support.name_server import NameServer, name_server


@pytest.fixture
def loopback() -> AddressPolicy:
    return AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])


@pytest.fixture
async def client(loopback: AddressPolicy) -> AsyncIterator[EgressClient]:
    async with await EgressClient.open(loopback, connections_max=20) as client:
        yield client


@pytest.fixture(name="name_server")
async def _name_server() -> AsyncIterator[NameServer]:
    async with name_server({}) as server:
        yield server
