"""The pure judge: which addresses outbound connections may reach."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.egress import BLOCKED_PORTS, AddressBlocked, AddressPolicy
from shared.egress.address_guard import DENIED_IPV4


def _words(text: str) -> list[str]:
    return text.split()


PRODUCTION = AddressPolicy()
LOOPBACK_OPEN = AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])

DENIED = _words("""
    127.0.0.1 127.127.127.127 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 169.254.169.254
    169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1
    192.31.196.1 192.52.193.1 192.175.48.1 224.0.0.1 224.1.2.3 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::127.0.0.1 ::7f00:1 ::8.8.8.8 64:ff9b::a9fe:a9fe 64:ff9b::7f00:1
    64:ff9b:1::a9fe:a9fe 64:ff9b:1::808:808 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:808:808:: 2001::1 2001:0:4136:e378::1
    2001:2::1 2001:10::1 2001:20::1 2001:db8::1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 fd20:ce::254 ff02::1
    3fff::1 5f00::1 ::ffff:0:7f00:1 ::ffff:0:808:808 100::1 4000::1 1fff:ffff::1 2620:4f:8000::1
    2606:4700::5efe:7f00:1 2606:4700::200:5efe:a9fe:a9fe
""")

ALLOWED = _words("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.15 168.63.129.17
    169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.0 192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1
    223.255.255.255 2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 2001:200::1 ::ffff:8.8.8.8
    64:ff9b::808:808 2606:4700::5efe:808:808
""")


@pytest.mark.parametrize("text", DENIED)
def test_denied_addresses_are_blocked_in_production(text: str) -> None:
    """Every special, private, transitional or reserved address is blocked while nothing is opened."""
    with pytest.raises(AddressBlocked) as blocked:
        PRODUCTION.judge(ip_address(text))
    assert blocked.value.address == ip_address(text)
    assert blocked.value.reason
    assert blocked.value.code == "address_blocked"


@pytest.mark.parametrize("text", ALLOWED)
def test_public_addresses_are_allowed(text: str) -> None:
    """Public addresses pass, up to the very edges of the denied networks."""
    PRODUCTION.judge(ip_address(text))


@pytest.mark.parametrize(("network", "reason"), DENIED_IPV4)
def test_both_ends_of_every_denied_network_are_blocked(network: IPv4Network, reason: str) -> None:
    """A network is denied from its first to its last address, with its own reason."""
    for address in (network.network_address, network.broadcast_address):
        with pytest.raises(AddressBlocked) as blocked:
            PRODUCTION.judge(address)
        assert blocked.value.reason == reason


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("64:ff9b::7f00:1", True),
        ("::127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:a9fe:a9fe", False),
    ],
)
def test_the_allow_list_opens_what_it_names_and_nothing_else(text: str, *, opened: bool) -> None:
    """Opening loopback opens loopback, not the other denied networks nor other spellings that travel elsewhere."""
    address = ip_address(text)
    assert LOOPBACK_OPEN.opens(address) is opened
    if opened:
        LOOPBACK_OPEN.judge(address)
    else:
        with pytest.raises(AddressBlocked):
            LOOPBACK_OPEN.judge(address)


@pytest.mark.parametrize("port", sorted(BLOCKED_PORTS))
def test_blocked_ports_are_denied_on_public_addresses_only(port: int) -> None:
    """A blocked port is denied on a public address and free on an opened one."""
    with pytest.raises(AddressBlocked, match="port_blocked"):
        PRODUCTION.judge_endpoint(IPv4Address("8.8.8.8"), port)
    LOOPBACK_OPEN.judge_endpoint(IPv4Address("127.0.0.1"), port)


@pytest.mark.parametrize("port", [0, -1, 65_536, 99_999])
def test_ports_that_do_not_exist_are_denied_everywhere(port: int) -> None:
    """No allow list makes port 0 or 99999 a port."""
    for policy, address in ((PRODUCTION, "8.8.8.8"), (LOOPBACK_OPEN, "127.0.0.1")):
        with pytest.raises(AddressBlocked, match="port_invalid"):
            policy.judge_endpoint(ip_address(address), port)


def test_the_usual_ports_are_free() -> None:
    """Ports that web servers use are not blocked."""
    for port in (80, 443, 3000, 5000, 8000, 8001, 8080, 8443, 8888, 9000, 65_535):
        PRODUCTION.judge_endpoint(IPv4Address("8.8.8.8"), port)


def test_a_policy_is_a_value() -> None:
    """Policies with the same list are equal and hash alike, so that parsed destinations can be cached by them."""
    assert AddressPolicy([ip_network("127.0.0.0/8")]) == AddressPolicy(iter([ip_network("127.0.0.0/8")]))
    assert hash(AddressPolicy()) == hash(PRODUCTION)


JUDGED_BY_CONTENT = [IPv6Network("2000::/3"), IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]

WRAPPERS: dict[str, Callable[[int], int]] = {
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "compatible": lambda v4: v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "nat64": lambda v4: 0x64_FF9B << 96 | v4,
    "local nat64": lambda v4: 0x64_FF9B_0001 << 80 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80,
    "teredo server": lambda v4: 0x2001_0000 << 96 | v4 << 64,
    "teredo client": lambda v4: 0x2001_0000 << 96 | v4 ^ 0xFFFF_FFFF,
    "isatap": lambda v4: 0x2606_4700 << 96 | 0x5EFE << 32 | v4,
    "isatap, universal": lambda v4: 0x2606_4700 << 96 | 0x0200_5EFE << 32 | v4,
}


@st.composite
def denied_ipv4(draw: st.DrawFn) -> IPv4Address:
    network, _ = draw(st.sampled_from(DENIED_IPV4))
    return draw(st.ip_addresses(v=4, network=network).map(lambda address: IPv4Address(int(address))))


@given(address=denied_ipv4(), wrapper=st.sampled_from(sorted(WRAPPERS)))
def test_no_wrapper_carries_a_denied_ipv4_address_through(address: IPv4Address, wrapper: str) -> None:
    """Whatever IPv6 form embeds a denied IPv4 address, the result is blocked."""
    with pytest.raises(AddressBlocked):
        PRODUCTION.judge(IPv6Address(WRAPPERS[wrapper](int(address))))


@given(address=st.ip_addresses(v=6).map(lambda address: IPv6Address(int(address))))
def test_ipv6_outside_global_unicast_passes_only_as_a_carrier_of_public_ipv4(address: IPv6Address) -> None:
    """Outside 2000::/3 nothing passes but IPv4-mapped and NAT64 forms."""
    assume(not any(address in network for network in JUDGED_BY_CONTENT))
    with pytest.raises(AddressBlocked):
        PRODUCTION.judge(address)
