"""What a request puts on the wire and what comes back when all goes well; TLS; closing."""

import asyncio
import ssl
from pathlib import Path

import pytest

from shared.egress import (
    AddressPolicy,
    ConnectFailed,
    EgressClient,
    EgressClosed,
    RequestRefused,
    ResponseBroken,
    TlsFailed,
    parse_destination,
)
from support.egress_peer import OK, Peer, answer, run_peer


async def test_a_request_is_exactly_what_was_asked_for(client: EgressClient) -> None:
    """Nothing is added but host, accept-encoding and content-length."""
    async with run_peer(answer(OK)) as peer:
        headers = {"content-type": "application/json", "Webhook-Id": "evt_1", "x-note": "caf\u00e9"}
        await client.request("POST", f"{peer.url}?a=b%20c", headers=headers, body=b'{"a":1}', deadline_seconds=5)
        assert peer.requests == [
            b"POST /hook?a=b%%20c HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept-encoding: identity\r\n"
            b"content-type: application/json\r\nWebhook-Id: evt_1\r\nx-note: caf\xc3\xa9\r\n"
            b'content-length: 7\r\n\r\n{"a":1}' % peer.port
        ]


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "POST", "PUT", "PATCH"])
async def test_methods_without_a_body(client: EgressClient, method: str) -> None:
    """A request that usually has a body says that it has none; an answer to HEAD has none."""
    raw = OK.removesuffix(b"ok") if method == "HEAD" else OK
    async with run_peer(answer(raw, times=2)) as peer:
        for _ in range(2):
            response = await client.request(method, peer.url, headers={}, body=None, deadline_seconds=5)
            assert (response.status, response.body) == (200, b"" if method == "HEAD" else b"ok")
        assert (b"content-length: 0" in peer.requests[0]) is (method in {"POST", "PUT", "PATCH"})
        assert peer.connections == 1


async def test_an_answer_says_everything(client: EgressClient) -> None:
    """Status, headers in order with duplicates, body, duration, and the address that answered."""
    raw = b"HTTP/1.1 418 Teapot\r\nA: 1\r\nb: \xe9\r\na: 2\r\nRetry-After: 5\r\ncontent-length: 2\r\n\r\nok"
    async with run_peer(answer(raw)) as peer:
        response = await client.request("POST", peer.url, headers={}, body=b"x", deadline_seconds=5)
    assert response.status == 418
    assert response.headers == [("A", "1"), ("b", "\u00e9"), ("a", "2"), ("Retry-After", "5"), ("content-length", "2")]
    assert (response.header("retry-after"), response.header("a"), response.header("none")) == ("5", "1", None)
    assert (response.body, response.truncated, response.remote_address) == (b"ok", False, "127.0.0.1")
    assert 0 < response.duration_ms < 5000


async def test_a_parsed_destination_serves_as_well_as_its_text(client: EgressClient, loopback: AddressPolicy) -> None:
    """A destination and its children can be sent to without parsing again."""
    async with run_peer(answer(OK, times=2)) as peer:
        base = parse_destination(peer.url, policy=loopback)
        await client.request("GET", base, headers={}, body=None, deadline_seconds=5)
        await client.request("GET", base.child("/v1/x?y=1"), headers={}, body=None, deadline_seconds=5)
        assert [request.split(b" ")[1] for request in peer.requests] == [b"/hook", b"/hook/v1/x?y=1"]
        assert peer.connections == 1


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"a": "b\r\nc: d"}),
        ("POST", {"a": "b\nc"}),
        ("POST", {"a": "b\x00"}),
        ("POST", {"a\r\nb": "c"}),
        ("POST", {"a b": "c"}),
        ("POST", {"": "c"}),
        ("POST", {"a:": "c"}),
        ("POST", {"h\u00e9": "c"}),
        ("POST", {"a": "\ud800"}),
        ("POST", {"Host": "evil.example"}),
        ("POST", {"Content-Length": "5"}),
        ("POST", {"transfer-encoding": "chunked"}),
        ("POST", {"Expect": "100-continue"}),
        ("POST", {"connection": "upgrade"}),
        ("POST", {"accept-encoding": "gzip"}),
        ("CONNECT", {}),
        ("post", {}),
        ("GET / HTTP/1.1\r\nx:", {}),
    ],
)
async def test_what_could_smuggle_is_refused_before_connecting(
    client: EgressClient, method: str, headers: dict[str, str]
) -> None:
    """Line breaks, framing headers and odd methods never open a connection."""
    async with run_peer(answer(OK)) as peer:
        with pytest.raises(RequestRefused):
            await client.request(method, peer.url, headers=headers, body=b"x", deadline_seconds=5)
        assert peer.connections == 0


async def test_fifty_requests_share_the_pool(loopback: AddressPolicy) -> None:
    """Requests beyond the connection limit wait for a connection, and each gets its own answer."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await peer.read_request(reader)
            number = request.rpartition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(number), number))

    async with run_peer(script) as peer, await EgressClient.open(loopback, connections_max=5) as client:
        numbers = [b"%d" % number for number in range(50)]
        requests = [client.request("PUT", peer.url, headers={}, body=n, deadline_seconds=5) for n in numbers]
        assert [response.body for response in await asyncio.gather(*requests)] == numbers
        assert peer.connections == 5


async def test_a_cancelled_request_leaves_no_connection_behind(client: EgressClient) -> None:
    """Cancelling closes the connection, so that its late answer reaches nobody."""

    async def script(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        arrived.set()
        assert await reader.read() == b""
        closed.set()

    arrived, closed = asyncio.Event(), asyncio.Event()
    async with run_peer(script) as peer:
        pending = asyncio.ensure_future(client.request("GET", peer.url, headers={}, body=None, deadline_seconds=30))
        await arrived.wait()
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        async with asyncio.timeout(5):
            await closed.wait()


async def test_an_untrusted_certificate_is_refused(
    client: EgressClient, server_tls: ssl.SSLContext, certificate_path: Path, loopback: AddressPolicy
) -> None:
    """A self-signed certificate is ``TlsFailed`` and no request is sent; trusted, the same peer is spoken to."""
    async with run_peer(answer(OK), tls=server_tls) as peer:
        url = peer.url.replace("http:", "https:")
        with pytest.raises(TlsFailed) as failed:
            await client.request("POST", url, headers={}, body=b"x", deadline_seconds=5)
        assert (failed.value.code, peer.requests) == ("tls_failed", [])
        trusting = ssl.create_default_context(cafile=str(certificate_path))
        async with await EgressClient.open(loopback, connections_max=2, ssl_context=trusting) as trusting_client:
            response = await trusting_client.request("POST", url, headers={}, body=b"x", deadline_seconds=5)
            assert (response.status, response.remote_address) == (200, "127.0.0.1")


async def test_a_certificate_for_another_name_is_refused(
    server_tls: ssl.SSLContext, certificate_path: Path, loopback: AddressPolicy
) -> None:
    """A trusted certificate must also name the host."""
    trusting = ssl.create_default_context(cafile=str(certificate_path))
    async with (
        run_peer(answer(OK), tls=server_tls) as peer,
        await EgressClient.open(loopback, connections_max=2, ssl_context=trusting) as client,
    ):
        with pytest.raises(TlsFailed):
            await client.request("POST", f"https://localhost:{peer.port}/", headers={}, body=b"x", deadline_seconds=5)
        assert peer.requests == []


async def test_tls_to_a_peer_that_speaks_none_is_not_sent(client: EgressClient) -> None:
    """Plain text instead of a handshake fails the handshake; a hang-up fails the connection."""

    async def plain(_peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(OK)

    async def hang_up(_peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    for script in (plain, hang_up):
        async with run_peer(script) as peer:
            with pytest.raises((TlsFailed, ConnectFailed)):
                await client.request(
                    "POST", peer.url.replace("http:", "https:"), headers={}, body=b"x", deadline_seconds=5
                )


async def test_a_closed_client_sends_nothing(loopback: AddressPolicy) -> None:
    """After ``aclose`` requests are refused as our own fault; closing again is harmless."""
    client = await EgressClient.open(loopback, connections_max=2)
    await client.aclose()
    await client.aclose()
    async with run_peer(answer(OK)) as peer:
        with pytest.raises(EgressClosed) as closed:
            await client.request("POST", peer.url, headers={}, body=b"x", deadline_seconds=5)
        assert (closed.value.code, peer.connections) == ("egress_closed", 0)


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na"]
)
async def test_closing_ends_what_is_in_flight(loopback: AddressPolicy, start: bytes) -> None:
    """A request in flight ends as unknown when the client closes, not at its deadline."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(start)
        await writer.drain()
        arrived.set()
        await asyncio.Event().wait()

    arrived = asyncio.Event()
    async with run_peer(script) as peer:
        client = await EgressClient.open(loopback, connections_max=2)
        pending = asyncio.ensure_future(client.request("GET", peer.url, headers={}, body=None, deadline_seconds=3))
        await arrived.wait()
        await asyncio.sleep(0.05)  # let what was written arrive
        await client.aclose()
        with pytest.raises(ResponseBroken):
            await pending
