"""Which addresses outbound connections may reach: explicit tables, and nothing else.

``ipaddress``'s own ``is_global`` is not used anywhere: on the Pythons in support it passes multicast, NAT64 forms of
the metadata address, site-local and more. IPv4 is allowed outside a deny table. IPv6 is allowed inside 2000::/3 minus a deny
table, because everything outside of it is either special or unassigned. Forms that carry an IPv4 address are judged by it.

Sources: IANA IPv4 and IPv6 special-purpose address registries; RFC 4291 (IPv6), 6052 (NAT64), 5214 (ISATAP); cloud
providers' pages on their metadata addresses; the WHATWG Fetch list of bad ports.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from shared.egress.errors import AddressBlocked

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED_IPV4: Final = tuple(
    (IPv4Network(cidr), reason)
    for cidr, reason in (
        ("0.0.0.0/8", "this_network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared_address_space"),  # also a cloud's metadata address, 100.100.100.200
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # public by number, but a host service inside one cloud
        ("169.254.0.0/16", "link_local"),  # holds 169.254.169.254 and 169.254.170.2
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol_assignments"),  # holds 192.0.0.192, a metadata address
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "as112"),
        ("192.52.193.0/24", "amt_relay"),
        ("192.88.99.0/24", "sixtofour_relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "as112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # and the limited broadcast
    )
)

ALLOWED_IPV6: Final = IPv6Network("2000::/3")

DENIED_IPV6: Final = tuple(
    (IPv6Network(cidr), reason)
    for cidr, reason in (
        ("2001::/32", "teredo"),
        ("2001::/23", "protocol_assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "sixtofour"),  # a tunnel to whatever IPv4 it names; nobody serves it any more
        ("2620:4f:8000::/48", "as112"),
        ("3fff::/20", "documentation"),
    )
)

# Only for a clearer reason: all of these lie outside ALLOWED_IPV6 and are denied with or without this table.
OUTSIDE_IPV6: Final = tuple(
    (IPv6Network(cidr), reason)
    for cidr, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "ipv4_compatible"),
        ("::ffff:0:0:0/96", "ipv4_translated"),
        ("64:ff9b:1::/48", "local_nat64"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link_local"),
        ("fec0::/10", "site_local"),
        ("ff00::/8", "multicast"),
    )
)

IPV4_MAPPED: Final = IPv6Network("::ffff:0:0/96")
NAT64: Final = IPv6Network("64:ff9b::/96")
# Interface identifiers 0000:5efe and 0200:5efe (RFC 5214): the last 32 bits are the tunnel's IPv4 end.
ISATAP_MARKERS: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})

# Services that answer to text, or are worth attacking through a forged request, and are never a webhook or a wallet.
BLOCKED_PORTS: Final = frozenset(
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95}  # the oldest text services
    | {
        101,
        102,
        103,
        104,
        109,
        110,
        111,
        113,
        115,
        117,
        119,
        123,
        135,
        137,
        139,
        143,
        161,
        179,
    }  # mail, news, SMB, SNMP
    | {
        389,
        427,
        445,
        465,
        512,
        513,
        514,
        515,
        526,
        530,
        531,
        532,
        540,
        548,
        554,
        556,
        563,
        587,
        601,
        636,
    }  # LDAP, r*, SMTP
    | {873, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061}  # rsync, FTPS, IMAPS, NFS, SIP
    | {6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}  # X11, IRC, amanda
    | {
        1433,
        1521,
        2379,
        2380,
        3306,
        3389,
        4222,
        5432,
        5672,
        5900,
        6379,
        9042,
        9092,
        11211,
        27017,
    }  # stores, brokers, desks
)
PORT_MAX: Final = 65_535


@dataclass(frozen=True)
class AddressPolicy:
    """The judge. Immutable and hashable. ``allow_cidrs`` is the only thing that opens what the tables deny.

    An empty ``allow_cidrs`` is production. An IPv4 network also opens its IPv4-mapped and NAT64 forms, which reach the
    same place, and no other form.
    """

    allow_cidrs: tuple[Network, ...] = ()
    blocked_ports: frozenset[int] = field(default=BLOCKED_PORTS, repr=False)

    def __init__(self, allow_cidrs: Iterable[Network] = (), *, blocked_ports: Iterable[int] = BLOCKED_PORTS) -> None:
        object.__setattr__(self, "allow_cidrs", tuple(allow_cidrs))
        object.__setattr__(self, "blocked_ports", frozenset(blocked_ports))

    def opens(self, address: Address) -> bool:
        """Tell whether ``allow_cidrs`` names this address."""
        plain = _effective(address)
        return any(
            candidate.version == network.version and candidate in network
            for network in self.allow_cidrs
            for candidate in {address, plain}
        )

    def judge(self, address: Address) -> None:
        """Return if connections to ``address`` are allowed, else raise ``AddressBlocked``."""
        if self.opens(address):
            return
        reason = _denial(address)
        if reason is not None:
            raise AddressBlocked(address, reason)

    def judge_endpoint(self, address: Address, port: int) -> None:
        """Like ``judge``, and deny blocked ports of addresses that ``allow_cidrs`` does not open."""
        self.judge(address)
        if not 0 < port <= PORT_MAX:
            raise AddressBlocked(address, "port_invalid")
        if port in self.blocked_ports and not self.opens(address):
            raise AddressBlocked(address, "port_blocked")


def _effective(address: Address) -> Address:
    """Return the IPv4 address a socket or a NAT64 gateway would really talk to, else the address itself."""
    if isinstance(address, IPv6Address) and (address in IPV4_MAPPED or address in NAT64):
        return _last_32_bits(address)
    return address


def _denial(address: Address) -> str | None:
    plain = _effective(address)
    if isinstance(plain, IPv4Address):
        return _first_reason(plain, DENIED_IPV4)
    if plain not in ALLOWED_IPV6:
        return _first_reason(plain, OUTSIDE_IPV6) or "not_global_unicast"
    reason = _first_reason(plain, DENIED_IPV6)
    if reason is None and (int(plain) >> 32) & 0xFFFF_FFFF in ISATAP_MARKERS:
        reason = _denial(_last_32_bits(plain))
    return reason


def _first_reason(address: Address, table: Iterable[tuple[Network, str]]) -> str | None:
    return next((reason for network, reason in table if address in network), None)


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)
