"""Paths below a base URL: appended, never resolved."""

import pytest

from shared.egress import AddressPolicy, Destination, DestinationRefused, parse_destination

PRODUCTION = AddressPolicy()


def _base(url: str = "https://wallet.example.com/api/") -> Destination:
    return parse_destination(url, policy=PRODUCTION)


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("https://wallet.example.com", "/v1/a", "/v1/a"),
        ("https://wallet.example.com/", "/v1/a?b=c%2F", "/v1/a?b=c%2F"),
        ("https://wallet.example.com/api", "/.well-known/external-wallet", "/api/.well-known/external-wallet"),
        ("https://wallet.example.com/api/", "/v1/balances:query", "/api/v1/balances:query"),
        ("https://wallet.example.com/api/", "/v1/a%2Fb", "/api/v1/a%2Fb"),
        ("https://wallet.example.com:8443/api/", "/", "/api/"),
    ],
)
def test_a_child_stays_below_its_base(base: str, path: str, target: str) -> None:
    """A path is appended to the base as it is; host and port stay."""
    parent = _base(base)
    child = parent.child(path)
    assert (child.target, child.host, child.port, child.host_header) == (
        target,
        parent.host,
        parent.port,
        parent.host_header,
    )
    assert child.url.raw_path_qs == target


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "//evil.example/",
        "/a//b",
        "/../b",
        "/a/..",
        "/./b",
        "/%2e%2e/b",
        "/a/%2E./b",
        "/a\\b",
        "/a#b",
        "/a b",
        "/a\r\nb",
        "/\u00fc",
        "/%zz",
        "https://evil.example/",
        "@evil.example/",
        "/a/.%2e",
        "/" + "a" * 2048,
    ],
)
def test_a_path_that_could_leave_the_base_is_refused(path: str) -> None:
    """Dot segments, second slashes and raw characters never reach the wire."""
    with pytest.raises(DestinationRefused):
        _base().child(path)


def test_a_base_with_a_query_has_no_children() -> None:
    """A path cannot be appended after a query."""
    with pytest.raises(DestinationRefused, match="base_has_query"):
        _base("https://wallet.example.com/?a=b").child("/v1")
