"""The form of an address allow-list entry: a network in CIDR notation, or one address."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from credentials.no_credentials import NO_CREDENTIAL
from shared.settings import Network

_MAPPED_BITS = 96
_MAPPED = IPv6Network("::ffff:0:0/96")


def normalize(text: str) -> str:
    """Return the canonical network; raises ValueError where host bits are set or the text is no network.

    A zone (``%eth0``) is refused: it means something on one machine alone, and would be room for any text. IPv4 networks in
    IPv6 form (``::ffff:192.0.2.0/120``) become IPv4, which is how addresses are compared.
    """
    if "%" in text:
        raise ValueError("a network has no zone")
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        network = ip_network((mapped, network.prefixlen - _MAPPED_BITS))
    return str(network)


def is_within(networks: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether every address that the first list allows is allowed by the second; an empty list allows all."""
    if not others:
        return True
    outer = [ip_network(other) for other in others]
    return bool(networks) and all(
        any(_is_subnet(ip_network(network), wider) for wider in outer) for network in networks
    )


def _is_subnet(network: Network, of: Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(of, IPv4Network):
        return network.subnet_of(of)
    return isinstance(network, IPv6Network) and isinstance(of, IPv6Network) and network.subnet_of(of)


def _validate(text: str) -> str:
    try:
        return normalize(text)
    except ValueError as exc:
        raise ValueError("not a network in CIDR notation, such as 192.0.2.0/24 or 2001:db8::/32") from exc


Cidr = Annotated[str, Field(max_length=64, examples=["192.0.2.0/24"]), NO_CREDENTIAL, AfterValidator(_validate)]
