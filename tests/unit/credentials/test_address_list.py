"""What may stand in an address allow-list."""

import pytest

from credentials.api_keys.address_list import normalize


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_networks_get_one_form(text: str, network: str) -> None:
    """One network is stored in one way; IPv4 in IPv6 form becomes IPv4."""
    assert normalize(text) == network


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "2001:db8::1/32",
        "192.0.2",
        "010.0.0.1",
        "1.2.3.4/",
        "fe80::1%eth0/64",
        "fe80::1%eth0",
        "::%cw_sk_live_x",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Names, host bits, wrong lengths, leading zeros and zones are no networks."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the standard library's; schemas.py words its own
        normalize(text)
