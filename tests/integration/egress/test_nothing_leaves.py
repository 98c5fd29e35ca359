"""That no packet leaves this machine is itself checked: whatever library sends, and whatever it makes of the refusal."""

import socket

import pytest

from shared.egress import AddressPolicy, ConnectFailed, EgressClient
from support import loopback_only
from support.loopback_only import LeavesTheMachineError, is_here

OUTSIDE = ["192.0.2.1", "198.51.100.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"]


@pytest.mark.parametrize("host", OUTSIDE)
def test_a_connection_to_another_machine_is_refused_and_noted(host: str) -> None:
    """Below every library, by TCP and by UDP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as stream, pytest.raises(LeavesTheMachineError):
        stream.connect((host, 443))
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams, pytest.raises(LeavesTheMachineError):
        datagrams.sendto(b"x", (host, 53))
    assert len(loopback_only.refused) == 2
    loopback_only.refused.clear()


async def test_a_library_that_takes_it_for_a_broken_network_does_not_hide_it() -> None:
    """The way out of the services sees a connection that failed; the test would fail all the same."""

    class AllIsPublic(AddressPolicy):
        def judge(self, address: object) -> None:
            """Let everything pass."""
            del address

    async with await EgressClient.open(AllIsPublic(), connections_max=1) as client:
        with pytest.raises(ConnectFailed):
            await client.request("GET", "https://8.8.8.8/", headers={}, body=None, deadline_seconds=5)
    assert loopback_only.refused
    loopback_only.refused.clear()


@pytest.mark.parametrize(
    "address", [("127.0.0.1", 1), ("127.8.9.10", 1), ("::1", 1, 0, 0), ("localhost", 1), "/a/path", b"x"]
)
def test_this_machine_is_not_refused(address: object) -> None:
    """Engines, receivers and brokers of the tests are on loopback or on a path."""
    assert is_here(address)
