"""When a connection is fit for a request."""

import asyncio
from unittest.mock import Mock

from shared.egress.connector import GuardedProtocol


def connected() -> GuardedProtocol:
    transport = Mock(spec=asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    protocol = GuardedProtocol(asyncio.get_running_loop())
    protocol.connection_made(transport)
    protocol.opened_at = 100.0
    return protocol


async def test_a_new_connection_is_fit() -> None:
    """Open, young and silent."""
    assert connected().fit_for_request(opened_after=99.0)


async def test_an_old_connection_is_not_fit() -> None:
    """Older than the maximum age."""
    assert not connected().fit_for_request(opened_after=101.0)


async def test_a_connection_whose_peer_spoke_first_is_not_fit() -> None:
    """Bytes that came before the request would be read as its answer."""
    protocol = connected()
    protocol.data_received(b"220 mail.example ESMTP\r\n")
    assert not protocol.fit_for_request(opened_after=99.0)


async def test_an_idle_connection_closes_at_the_first_unasked_byte() -> None:
    """Nothing that a peer pushes into the pool is kept."""
    protocol = connected()
    protocol.idle = True
    transport = protocol.transport
    assert isinstance(transport, Mock)
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    transport.close.assert_called_once_with()
    assert not protocol.is_connected()
    assert len(protocol) == 0
