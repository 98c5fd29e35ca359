"""Clients that may reach loopback, and a certificate nobody trusts."""

import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from shared.egress import AddressPolicy, EgressClient
from support.certificates import server_context, write_self_signed


@pytest.fixture
def loopback() -> AddressPolicy:
    return AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])


@pytest.fixture
async def client(loopback: AddressPolicy) -> AsyncIterator[EgressClient]:
    async with await EgressClient.open(loopback, connections_max=20) as client:
        yield client


@pytest.fixture(scope="session")
def certificate_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "peer.pem"
    write_self_signed(path)
    return path


@pytest.fixture(scope="session")
def server_tls(certificate_path: Path) -> ssl.SSLContext:
    return server_context(certificate_path)
