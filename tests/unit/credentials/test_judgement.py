"""Whether a stored key is good right now."""

import dataclasses
from ipaddress import ip_address, ip_network

import pytest

from credentials.verification.judgement import Reason, judge
from shared.access import Principal
from shared.typeids import encode
from support.stored_keys import STORED_KEY

NOW = 1_800_000_000.0
KEY = STORED_KEY


def test_a_good_key_is_its_principal() -> None:
    """The principal has the key's own scopes and its roles', and the earlier of the two ends."""
    principal = judge(dataclasses.replace(KEY, expires_at=NOW + 60, version_ends_at=NOW + 30), now=NOW, ip=None)
    assert isinstance(principal, Principal)
    assert principal.credential_id == encode("key", KEY.key_id)
    assert {"events:publish", "deliveries:resend"} <= principal.scopes
    assert principal.expires_at == NOW + 30


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revoked": True}, Reason.REVOKED),
        ({"tenant_suspended": True}, Reason.TENANT_SUSPENDED),
        ({"expires_at": NOW}, Reason.EXPIRED),
        ({"version_ends_at": NOW}, Reason.VERSION_ENDED),
        ({"allowed_networks": (ip_network("192.0.2.0/24"),)}, Reason.ADDRESS_NOT_ALLOWED),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
def test_each_defect_alone_denies(change: dict[str, object], reason: Reason) -> None:
    """Every condition is enough by itself, and the reason is exact; a key is over at its very second."""
    defect = dataclasses.replace(KEY, **change)  # type: ignore[arg-type]  # values by field name
    assert judge(defect, now=NOW, ip=None) is reason


def test_a_role_that_is_no_more_gives_nothing() -> None:
    """An unknown role name neither grants nor fails."""
    principal = judge(dataclasses.replace(KEY, scopes=(), roles=("gone",)), now=NOW, ip=None)
    assert isinstance(principal, Principal)
    assert principal.scopes == frozenset()


@pytest.mark.parametrize(
    ("network", "address", "listed"),
    [
        ("192.0.2.0/24", "192.0.2.0", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.0/24", "192.0.1.255", False),
        ("192.0.2.1/32", "192.0.2.1", True),
        ("192.0.2.1/32", "192.0.2.10", False),
        ("192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("192.0.2.0/24", "::ffff:198.51.100.7", False),
        ("192.0.2.0/24", "::192.0.2.7", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
        ("2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("2001:db8::/32", "2001:db9::", False),
        ("2001:db8::/127", "2001:db8::1", True),
        ("2001:db8::/127", "2001:db8::2", False),
    ],
)
def test_the_address_list_matches_networks(network: str, address: str, *, listed: bool) -> None:
    """CIDR is arithmetic: edges of IPv4 and IPv6, and IPv4 written as IPv6 counts as IPv4."""
    key = dataclasses.replace(KEY, allowed_networks=(ip_network("203.0.113.0/24"), ip_network(network)))
    assert isinstance(judge(key, now=NOW, ip=ip_address(address)), Principal) == listed


def test_an_unknown_address_is_on_no_list() -> None:
    """Without a known address a key with a list is denied."""
    key = dataclasses.replace(KEY, allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert judge(key, now=NOW, ip=None) is Reason.ADDRESS_NOT_ALLOWED
