"""Decide whether a URL can be a destination, as far as the text alone can tell.

Names are resolved and addresses judged again at connect time (``connector.py``); this module exists so that an integrator
hears of a bad URL when registering it. It splits the URL itself, strictly, and then demands that yarl, whose
reading the client will follow, agrees on every part: a difference between two parsers is what most bypasses live on.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from yarl import URL

from shared.egress.address_guard import PORT_MAX, Address, AddressPolicy
from shared.egress.errors import AddressBlocked, DestinationRefused

URL_CHARS_MAX: Final = 2048
HOST_CHARS_MAX: Final = 253
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_LOOPBACK_V4: Final = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6: Final = IPv6Network("::1/128")
_LOCALHOST: Final = IPv4Address("127.0.0.1")

# Names that mean "this machine" or "this network" wherever they resolve.
INTERNAL_NAMES: Final = frozenset(
    {"localhost", "ip6-localhost", "ip6-loopback", "broadcasthost", "metadata", "instance-data", "kubernetes"}
)
INTERNAL_SUFFIXES: Final = frozenset(
    {"localhost", "localdomain", "internal", "local", "lan", "home", "corp", "intranet", "private", "onion"}
)
INTERNAL_ZONES: Final = (".home.arpa", ".in-addr.arpa", ".ip6.arpa")

_SHAPE: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>(?:[/?].*)?)", re.IGNORECASE)
_ANY_SCHEME: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IPV6_HOST: Final = re.compile(r"\[(?P<host>[0-9a-f:.]+)\](?::(?P<port>.*))?", re.IGNORECASE)
_OTHER_HOST: Final = re.compile(r"(?P<host>[^:\[\]]+)(?::(?P<port>.*))?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Full stops that resolvers and browsers read as "." (UTS 46).
_OTHER_DOTS: Final = frozenset("\u3002\uff0e\uff61\u2024")
_CHILD_PATH: Final = re.compile(
    r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?"
)
_DOT_SEGMENT: Final = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that passed. ``host`` is ASCII, lower case, without brackets or trailing dot.

    ``target`` (path and query) and ``host_header`` are kept because a request needs exactly these.
    """

    url: URL
    host: str
    port: int
    scheme: str
    target: str
    host_header: str

    def child(self, path: str) -> "Destination":
        """Return the destination below this one: the base's path without its last slash, then ``path``.

        ``path`` starts with one slash and is already percent-encoded. Nothing in it can leave the base: empty and dot
        segments (plain or encoded), backslashes and fragments raise ``DestinationRefused``.
        """
        if self.url.raw_query_string:
            raise DestinationRefused("base_has_query", "a base URL cannot have a query")
        if not _CHILD_PATH.fullmatch(path):
            raise DestinationRefused("path_malformed", "a path starts with a slash and is percent-encoded")
        segments = path.partition("?")[0].split("/")[1:]
        if any(_DOT_SEGMENT.fullmatch(segment) for segment in segments) or "" in segments[:-1]:
            raise DestinationRefused("path_escapes_base", "empty and dot segments are not allowed in a path")
        target = self.url.raw_path.rstrip("/") + path
        url = URL(f"{self.scheme}://{self.host_header}{target}", encoded=True)
        if len(str(url)) > URL_CHARS_MAX:
            raise DestinationRefused("too_long", f"a URL has at most {URL_CHARS_MAX} characters")
        return Destination(url, self.host, self.port, self.scheme, target, self.host_header)


def place_of(url: str) -> str:
    """Return the one form that is equal for all spellings of a URL that ``parse_destination`` lets through, without its query.

    Case of scheme and host, a default port, an international name, zeros of an address, a last dot and slash make no difference.
    """
    parsed = URL(url)
    host = (parsed.raw_host or "").lower().rstrip(".")
    return f"{parsed.scheme}://{_ipv6(host) if ':' in host else host}:{parsed.port}{parsed.raw_path.rstrip('/')}"


def parse_destination(url: str, *, policy: AddressPolicy) -> Destination:
    """Return the destination that ``url`` names, or raise ``DestinationRefused``.

    Only https; plain http where ``policy`` opens the literal address, ``localhost`` where it opens loopback, and
    single-label names (a container's) where it opens some network other than loopback.
    """
    _refuse_bad_text(url)
    scheme, authority = _split(url)
    host_text, port = _host_and_port(authority, scheme)
    try:
        parsed = URL(url)
    except ValueError as error:
        raise DestinationRefused("malformed", "the URL cannot be parsed") from error
    host = _normal_host(host_text, parsed)
    _refuse_disagreement(parsed, scheme=scheme, host=host, port=port)
    literal = _literal(host)
    opened = _judge_name(host, port, policy) if literal is None else _judge_literal(literal, port, policy)
    if scheme == "http" and not opened:
        raise DestinationRefused("scheme_not_allowed", "only https:// destinations are allowed")
    host_header = parsed.host_port_subcomponent
    assert host_header is not None  # the URL is absolute
    plain_host = host.removesuffix(".") if literal is None else str(literal)
    return Destination(parsed, plain_host, port, scheme, parsed.raw_path_qs, host_header)


def _refuse_bad_text(url: str) -> None:
    if len(url) > URL_CHARS_MAX:
        raise DestinationRefused("too_long", f"a URL has at most {URL_CHARS_MAX} characters")
    for character in url:
        if (
            character <= " "
            or character == "\x7f"
            or (character > "\x7f" and unicodedata.category(character)[0] in "CZ")
        ):
            raise DestinationRefused(
                "forbidden_character", "white space and control characters are not allowed in a URL"
            )
    if "\\" in url:
        raise DestinationRefused("backslash", "a URL cannot contain a backslash")
    if "#" in url:
        raise DestinationRefused("fragment", "a destination has no fragment")


def _split(url: str) -> tuple[str, str]:
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        other = _ANY_SCHEME.match(url)
        if other is not None and other["scheme"].lower() not in DEFAULT_PORTS:
            raise DestinationRefused("scheme_not_allowed", "only https:// destinations are allowed")
        raise DestinationRefused("malformed", "a destination is an absolute https:// URL")
    authority = shape["authority"]
    if "@" in authority:
        raise DestinationRefused("userinfo", "a destination carries no user name or password")
    if "%" in authority:
        raise DestinationRefused("percent_in_host", "a host cannot be percent-encoded or name a zone")
    return shape["scheme"].lower(), authority


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    parts = _IPV6_HOST.fullmatch(authority) or _OTHER_HOST.fullmatch(authority)
    if parts is None:
        raise DestinationRefused("malformed", "the host is missing or malformed")
    port = parts["port"]
    if port is None:
        return parts["host"], DEFAULT_PORTS[scheme]
    if not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        raise DestinationRefused("port_invalid", f"a port is a number from 1 to {PORT_MAX}")
    return parts["host"], int(port)


def _normal_host(host: str, parsed: URL) -> str:
    """Return the host in ASCII and lower case; refuse look-alikes of digits and dots instead of translating them."""
    if host.isascii():
        return host.lower()
    composed = unicodedata.normalize("NFC", host)
    hides_ascii = any(
        not character.isascii() and unicodedata.normalize("NFC", character).isascii() for character in host
    )
    if hides_ascii or not _OTHER_DOTS.isdisjoint(host) or unicodedata.normalize("NFKC", host) != composed:
        raise DestinationRefused("host_not_canonical", "the host contains look-alike characters")
    encoded = (parsed.raw_host or "").lower()
    if not encoded.isascii() or _NUMERIC_LABEL.fullmatch(encoded.rstrip(".").rpartition(".")[2]):
        raise DestinationRefused("host_not_canonical", "the host is not a valid international name")
    return encoded


def _refuse_disagreement(parsed: URL, *, scheme: str, host: str, port: int) -> None:
    theirs = (parsed.raw_host or "").lower()
    same_host = theirs == host or (":" in host and ":" in theirs and _ipv6(theirs) == _ipv6(host))
    if not same_host or parsed.scheme != scheme or parsed.port != port or parsed.raw_user or parsed.raw_password:
        raise DestinationRefused("malformed", "the URL can be read in more than one way")


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError as error:
        raise DestinationRefused("malformed", "the IPv6 address is malformed") from error


def _literal(host: str) -> Address | None:
    """Return the address when the host is one, None when it is a name; refuse every other way to write an IPv4 address."""
    if ":" in host:
        return _ipv6(host)
    if not _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)  # takes four decimal numbers without leading zeros, and nothing else
    except AddressValueError as error:
        raise DestinationRefused("host_not_canonical", "an IPv4 address is written as four decimal numbers") from error


def _judge_literal(address: Address, port: int, policy: AddressPolicy) -> bool:
    try:
        policy.judge_endpoint(address, port)
    except AddressBlocked as error:
        reason = error.reason if error.reason == "port_blocked" else "address_blocked"
        raise DestinationRefused(reason, f"connections to this address are not allowed ({error.reason})") from error
    return policy.opens(address)


def _judge_name(host: str, port: int, policy: AddressPolicy) -> bool:
    """Refuse names that mean this machine or network. Return whether the policy opens what the name stands for."""
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise DestinationRefused("malformed", "the host is not a valid name")
    if name == "localhost" and policy.opens(_LOCALHOST):
        return True
    if name in INTERNAL_NAMES or labels[-1] in INTERNAL_SUFFIXES or name.endswith(INTERNAL_ZONES):
        raise DestinationRefused("internal_name", "this name belongs to internal networks")
    opened = len(labels) == 1 and _opens_beyond_loopback(policy)
    if len(labels) == 1 and not opened:
        raise DestinationRefused("single_label_host", "a destination needs a full domain name")
    if port in policy.blocked_ports and not opened:
        raise DestinationRefused("port_blocked", "connections to this port are not allowed")
    return opened


def _opens_beyond_loopback(policy: AddressPolicy) -> bool:
    return any(
        not network.subnet_of(_LOOPBACK_V4) if isinstance(network, IPv4Network) else not network.subnet_of(_LOOPBACK_V6)
        for network in policy.allow_cidrs
    )
