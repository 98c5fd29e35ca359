"""The address guard at connect time, on real sockets: nothing in here ever connects to anything but loopback."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.egress import (
    AddressBlocked,
    AddressPolicy,
    ConnectTimeout,
    DestinationRefused,
    EgressClient,
    NameNotResolved,
    parse_destination,
)
from shared.egress.address_guard import Address
from support.egress_peer import OK, Peer, answer, run_peer

PRODUCTION = AddressPolicy()
ONE_ADDRESS = AddressPolicy([ip_network("127.0.0.1/32")])


class ScriptedResolver(AbstractResolver):
    """Answers look-ups from a list of answers, the last one for ever, or hangs when the answer is None."""

    def __init__(self, *answers: Sequence[str] | OSError | UnicodeError | None) -> None:
        self.answers = list(answers)
        self.look_ups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.look_ups += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(addresses, Exception):
            raise addresses
        if addresses is None:
            await asyncio.Event().wait()
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses or ()
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def post(client: EgressClient, url: str, *, deadline_seconds: float = 5.0) -> int:
    response = await client.request("POST", url, headers={}, body=b"x", deadline_seconds=deadline_seconds)
    return response.status


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["127.0.0.1", "127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["127.0.0.1", "::1"]]
)
async def test_a_name_that_resolves_to_a_denied_address_is_blocked_before_any_packet(answers: list[str]) -> None:
    """In production a good-looking name that points here reaches nobody."""
    resolver = ScriptedResolver(answers)
    async with (
        run_peer(answer(OK)) as peer,
        await EgressClient.open(PRODUCTION, connections_max=2, resolver=resolver) as client,
    ):
        with pytest.raises(AddressBlocked) as blocked:
            await post(client, f"https://hooks.example.com:{peer.port}/")
        assert peer.connections == 0
    assert blocked.value.code == "address_blocked"
    assert blocked.value.address == ip_address(answers[0])


@pytest.mark.parametrize("answers", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::1"]])
async def test_one_denied_answer_among_good_ones_refuses_the_name(answers: list[str]) -> None:
    """Mixed answers are refused whole, so the order of answers, or a retry, cannot help an attacker."""
    resolver = ScriptedResolver(answers)
    async with (
        run_peer(answer(OK)) as peer,
        await EgressClient.open(ONE_ADDRESS, connections_max=2, resolver=resolver) as client,
    ):
        with pytest.raises(AddressBlocked):
            await post(client, f"https://hooks.example.com:{peer.port}/")
        assert peer.connections == 0


async def test_a_name_rebound_between_two_requests_is_blocked_at_the_second() -> None:
    """The answer of an earlier look-up gives no credit to a later one."""
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    async with (
        run_peer(answer(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))) as peer,
        await EgressClient.open(ONE_ADDRESS, connections_max=2, resolver=resolver, dns_cache_seconds=0) as client,
    ):
        assert await post(client, f"http://localhost:{peer.port}/") == 200
        with pytest.raises(AddressBlocked) as blocked:
            await post(client, f"http://localhost:{peer.port}/")
        assert peer.connections == 1
    assert blocked.value.address == ip_address("127.0.0.2")


async def test_a_pooled_connection_is_given_up_at_its_age_and_the_name_judged_again() -> None:
    """A name that flips while its connection lives is noticed within the maximum age."""
    now = 1000.0
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    async with (
        run_peer(answer(OK, times=10)) as peer,
        await EgressClient.open(
            ONE_ADDRESS,
            connections_max=2,
            resolver=resolver,
            dns_cache_seconds=0,
            connection_age_seconds_max=60,
            clock=lambda: now,
        ) as client,
    ):
        url = f"http://localhost:{peer.port}/"
        for seconds in (0.0, 30.0, 60.0):
            now = 1000.0 + seconds
            assert await post(client, url) == 200
        assert (peer.connections, resolver.look_ups) == (1, 1)
        now = 1060.5
        with pytest.raises(AddressBlocked):
            await post(client, url)
        assert (peer.connections, len(peer.requests)) == (1, 3)


async def test_an_idle_connection_is_closed_after_its_time(loopback: AddressPolicy) -> None:
    """An idle connection does not outlive the idle time."""
    async with (
        run_peer(answer(OK, times=10)) as peer,
        await EgressClient.open(loopback, connections_max=2, idle_seconds=0.05) as client,
    ):
        assert await post(client, peer.url) == 200
        await asyncio.sleep(0.1)  # the passing of this time is what is tested
        assert await post(client, peer.url) == 200
        assert peer.connections == 2


async def test_the_socket_itself_is_guarded_for_literals(loopback: AddressPolicy) -> None:
    """A destination judged under another policy is stopped where its socket would be made."""
    async with run_peer(answer(OK)) as peer, await EgressClient.open(PRODUCTION, connections_max=2) as client:
        smuggled = parse_destination(peer.url, policy=loopback)
        with pytest.raises(AddressBlocked) as blocked:
            await client.request("POST", smuggled, headers={}, body=b"x", deadline_seconds=5)
        assert peer.connections == 0
    assert (blocked.value.address, blocked.value.reason) == (ip_address("127.0.0.1"), "loopback")


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "::1"]])
async def test_the_socket_itself_is_guarded_for_answers(answers: list[str]) -> None:
    """Even a resolver that nobody judged opens no socket to a denied address."""
    async with run_peer(answer(OK)) as peer, await EgressClient.open(PRODUCTION, connections_max=2) as client:
        client._connector._resolver = ScriptedResolver(answers)
        with pytest.raises(AddressBlocked) as blocked:
            await post(client, f"https://hooks.example.com:{peer.port}/")
        assert peer.connections == 0
    assert str(blocked.value.address) in answers


async def test_plain_http_is_not_spoken_to_an_address_that_is_not_opened(loopback: AddressPolicy) -> None:
    """Whatever the text of the URL promised, plain http needs an opened peer."""

    class LoopbackIsPublic(AddressPolicy):
        def opens(self, address: Address) -> bool:
            del address
            return False

        def judge(self, address: Address) -> None:
            """Let loopback play a public address."""

    async with (
        run_peer(answer(OK)) as peer,
        await EgressClient.open(LoopbackIsPublic(), connections_max=2) as client,
    ):
        smuggled = parse_destination(peer.url, policy=loopback)
        with pytest.raises(AddressBlocked, match="plain_http"):
            await client.request("POST", smuggled, headers={}, body=b"x", deadline_seconds=5)
        assert peer.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/elsewhere", "file:///etc/passwd"]
)
async def test_redirects_are_answers_and_are_not_followed(client: EgressClient, status: int, target: str) -> None:
    """Nobody goes where a Location header points."""
    async with run_peer(answer(OK)) as elsewhere:
        location = target.format(port=elsewhere.port).encode()
        raw = b"HTTP/1.1 %d Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, location)
        async with run_peer(answer(raw)) as peer:
            response = await client.request("POST", peer.url, headers={}, body=b"x", deadline_seconds=5)
            assert (response.status, response.header("Location")) == (status, location.decode())
            assert (len(peer.requests), elsewhere.connections) == (1, 0)


async def test_the_environment_names_no_proxy(loopback: AddressPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and its relatives are ignored."""
    async with run_peer(answer(OK)) as proxy, run_peer(answer(OK)) as peer:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with await EgressClient.open(loopback, connections_max=2) as client:
            assert await post(client, peer.url) == 200
        assert (proxy.connections, peer.connections) == (0, 1)


async def test_cookies_are_not_kept(client: EgressClient) -> None:
    """One destination's cookie never comes back to it, nor to another tenant's webhook there."""
    raw = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with run_peer(answer(raw, times=2)) as peer:
        await post(client, peer.url)
        await post(client, peer.url)
        assert not any(b"cookie" in request.lower() for request in peer.requests)


@pytest.mark.parametrize(
    "answer_of_dns", [OSError("server failure"), socket.gaierror(-2, "unknown"), UnicodeError("label too long"), []]
)
async def test_a_name_without_an_address_is_not_sent(answer_of_dns: OSError | UnicodeError | list[str]) -> None:
    """Every way of having no answer is ``NameNotResolved``."""
    resolver = ScriptedResolver(answer_of_dns)
    async with await EgressClient.open(PRODUCTION, connections_max=2, resolver=resolver) as client:
        with pytest.raises(NameNotResolved) as unresolved:
            await post(client, "https://hooks.example.com/")
    assert unresolved.value.code == "name_not_resolved"


async def test_an_answer_that_is_no_address_is_blocked() -> None:
    """A resolver that answers with a name is not believed."""
    async with await EgressClient.open(
        PRODUCTION, connections_max=2, resolver=ScriptedResolver(["localhost"])
    ) as client:
        with pytest.raises(AddressBlocked):
            await post(client, "https://hooks.example.com/")


async def test_slow_dns_meets_the_deadline_and_was_not_sent() -> None:
    """The deadline covers DNS."""
    async with await EgressClient.open(PRODUCTION, connections_max=2, resolver=ScriptedResolver(None)) as client:
        with pytest.raises(ConnectTimeout) as timeout:
            await post(client, "https://hooks.example.com/", deadline_seconds=0.2)
    assert timeout.value.code == "connect_timeout"


async def test_waiting_for_a_free_connection_meets_the_deadline_and_was_not_sent(loopback: AddressPolicy) -> None:
    """The deadline covers the pool, and a full pool is no reason to call an outcome unknown."""

    async def script(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        arrived.set()
        await asyncio.Event().wait()

    arrived = asyncio.Event()
    async with run_peer(script) as peer, await EgressClient.open(loopback, connections_max=1) as client:
        holder = asyncio.ensure_future(post(client, peer.url, deadline_seconds=30))
        await arrived.wait()
        with pytest.raises(ConnectTimeout):
            await post(client, peer.url, deadline_seconds=0.2)
        assert len(peer.requests) == 1
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder


async def test_a_refused_url_never_reaches_the_resolver() -> None:
    """The text of a URL is judged on every request too."""
    resolver = ScriptedResolver(["127.0.0.1"])
    async with await EgressClient.open(PRODUCTION, connections_max=2, resolver=resolver) as client:
        for url in ("http://hooks.example.com/", "https://127.1/", "https://localhost/", "https://a@example.com/"):
            with pytest.raises(DestinationRefused):
                await post(client, url)
    assert resolver.look_ups == 0


async def test_the_system_resolver_knows_this_machine(loopback: AddressPolicy) -> None:
    """Without a resolver of its own the client asks the system's."""
    async with run_peer(answer(OK)) as peer, await EgressClient.open(loopback, connections_max=2) as client:
        assert await post(client, f"http://localhost:{peer.port}/") == 200
