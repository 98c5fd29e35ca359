"""IP addresses in the one form in which they are compared, stored and hashed. Used by every service."""

from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


def plain(address: Address) -> Address:
    """Return an address without its zone, and IPv4 in IPv6 form as IPv4.

    A zone (``fe80::1%eth0``) says something on one machine alone, and Postgres stores none.
    """
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
