"""URLs as destinations: what is refused when a webhook or a wallet is registered."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.egress import AddressPolicy, DestinationRefused, parse_destination


def _words(text: str) -> list[str]:
    return text.split()


PRODUCTION = AddressPolicy()
LOOPBACK_OPEN = AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])
CONTAINERS_OPEN = AddressPolicy([ip_network("172.20.0.0/16")])

HOSTS_IPV4 = _words("""
    127.0.0.1 127.1 127.127.127.127 0 0.0.0.0 0.1.2.3 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 10.0.0.1 172.16.0.1
    192.168.0.1 100.64.0.1 169.254.169.254 2852039166 0xA9.0xFE.0xA9.0xFE 0251.0376.0251.0376 425.510.425.510 169.254.170.2
    100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 192.88.99.1 224.0.0.1 240.0.0.1 255.255.255.255
    127.0.0.1. 0x 0x7f000001. 8.8.8 8.8.8.8. 08.8.8.8 8.8.8.08 134744072 a.8 example.com.8 example.0x8 1.2.3.4.5 +127.0.0.1 -1
""")
HOSTS_IPV6 = _words("""
    [::] [::1] [::ffff:127.0.0.1] [::ffff:a9fe:a9fe] [::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::a9fe:a9fe] [2002:7f00:1::]
    [2001::1] [fe80::1%25eth0] [fe80::1%eth0] [fec0::1] [fd00:ec2::254] [ff02::1] [3fff::1] [5f00::1] [::ffff:0:7f00:1]
    [] [::1 ::1] ::1 [1] [127.0.0.1] [2606:4700::1]x [v1.fe80::a] [2606:4700:::1] [[::1]]
""")
HOSTS_NAMED = _words("""
    localhost LOCALHOST LOCALHOST. localhost.. a.localhost ip6-localhost ip6-loopback localhost.localdomain
    metadata.google.internal METADATA.google.INTERNAL. metadata instance-data printer.local host.docker.internal router.lan
    wiki.corp box.home.arpa 1.0.0.127.in-addr.arpa hidden.onion intranet redis postgres a..b .a.example -a.example a-.example
    exa$mple.com *.example.com a,b.example
""")
HOSTS_LOOK_ALIKE = [
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
    "\uff18.8.8.8",
    "\u2460\u2461\u2466.0.0.1",  # circled digits
    "127\u30020\u30020\u30021",  # ideographic full stop
    "127\uff0e0\uff0e0\uff0e1",  # full-width full stop
    "127\uff610\uff610\uff611",  # half-width ideographic full stop
    "example\u3002com",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",  # full-width letters: localhost
    "loc\u24d0lhost",
    "\u2100.example.com",  # expands to a/c
    "\u212a.example.com",  # the Kelvin sign
    "1\ufe0f27.0.0.1",  # a variation selector is dropped by IDNA
    "8\ufe0f.8.8.8",
    "local\u00adhost",  # a soft hyphen is dropped by IDNA
    "evil\u200b.example.com",
    "\u202eexample.com",
]
SYNTAX = [
    "",
    "https",
    "https:",
    "https:/",
    "https://",
    "https:///path",
    "https://?a",
    "https://:443/",
    "http:127.0.0.1/",
    "https:127.0.0.1/",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "//127.0.0.1",
    "//example.com/",
    "/path",
    "example.com",
    "http://8.8.8.8\\@127.0.0.1",
    "https://8.8.8.8\\@127.0.0.1",
    "https:\\\\example.com",
    "https://example.com\\path",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com/a#",
    "https://exam\r\nple.com/",
    "https://example.com\r\nX-Header: 1/",
    "https://example.com/a\r\nb",
    "https://example.com/a b",
    "https://example.com/a\tb",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com/ ",
    "\ufeffhttps://example.com/",
    "https://example.com/\u2028",
    "https://example.com/\x00",
    "https://example.com%00.evil.example/",
    "https://%00/",
    "https://%31%32%37.0.0.1/",
    "https://exampl%65.com/",
    "https://example.com%2f@127.0.0.1/",
    "file:///etc/passwd",
    "gopher://example.com:6379/_INFO",
    "dict://example.com:11211/",
    "jar:https://example.com!/a",
    "ftp://example.com/",
    "ws://example.com/",
    "data:text/plain,a",
    "javascript:alert(1)",
    "unix:///run/docker.sock",
    "https+unix://a/",
    "https://https://example.com/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:6379/",
    "https://example.com:5432/",
    "https://example.com:99999/",
    "https://example.com:65536/",
    "https://example.com:/",
    "https://example.com:-1/",
    "https://example.com:0443/",
    "https://example.com:+443/",
    "https://example.com:4 43/",
    "https://example.com:\u0664\u0664\u0663/",
    "https://example.com:443:443/",
    "https://8.8.8.8:22/",
    "https://[2606:4700::1]:6379/",
    "https://example.com/" + "a" * 2048,
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "http://example.com/",
    "http://8.8.8.8/",
    "http://[2606:4700::1]/",
    "HTTP://EXAMPLE.COM/",
]


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("port", ["", ":8443"])
@pytest.mark.parametrize("host", HOSTS_IPV4 + HOSTS_IPV6 + HOSTS_NAMED + HOSTS_LOOK_ALIKE)
def test_hostile_hosts_are_refused_in_production(host: str, port: str, scheme: str) -> None:
    """No way of writing an internal address or name becomes a destination."""
    with pytest.raises(DestinationRefused) as refused:
        parse_destination(f"{scheme}://{host}{port}/hook", policy=PRODUCTION)
    assert refused.value.reason.replace("_", "").isalnum()
    assert refused.value.detail
    assert refused.value.code == "destination_refused"


@pytest.mark.parametrize("url", SYNTAX)
def test_hostile_syntax_is_refused_in_production(url: str) -> None:
    """No trick of syntax, scheme or port becomes a destination."""
    with pytest.raises(DestinationRefused):
        parse_destination(url, policy=PRODUCTION)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/" + "a" * 2048, "too_long"),
        ("https://exa mple.com/", "forbidden_character"),
        ("https://example.com\\a", "backslash"),
        ("https://example.com/#a", "fragment"),
        ("ftp://example.com/", "scheme_not_allowed"),
        ("http://example.com/", "scheme_not_allowed"),
        ("//example.com/", "malformed"),
        ("https://a@example.com/", "userinfo"),
        ("https://%31.example.com/", "percent_in_host"),
        ("https://example.com:0/", "port_invalid"),
        ("https://example.com:22/", "port_blocked"),
        ("https://8.8.8.8:22/", "port_blocked"),
        ("https://127.1/", "host_not_canonical"),
        ("https://127\u30020\u30020\u30021/", "host_not_canonical"),
        ("https://127.0.0.1/", "address_blocked"),
        ("https://[::1]/", "address_blocked"),
        ("https://localhost/", "internal_name"),
        ("https://intranet-host/", "single_label_host"),
    ],
)
def test_the_reason_is_a_stable_code(url: str, reason: str) -> None:
    """Each kind of refusal has its own code, for callers to show."""
    with pytest.raises(DestinationRefused) as refused:
        parse_destination(url, policy=PRODUCTION)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://example.com/", "example.com", 443, "/"),
        ("HTTPS://Hooks.Example.COM/In/Box?a=1&b=%20", "hooks.example.com", 443, "/In/Box?a=1&b=%20"),
        ("https://example.com.:8443/x", "example.com", 8443, "/x"),
        ("https://example.com?a=b", "example.com", 443, "/?a=b"),
        ("https://a-b_c.example.co.uk:65535/", "a-b_c.example.co.uk", 65535, "/"),
        ("https://8.8.8.8/hook", "8.8.8.8", 443, "/hook"),
        ("https://[2606:4700:4700:0::1111]:8443/hook", "2606:4700:4700::1111", 8443, "/hook"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://B\u00dcCHER.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://\u4f8b\u3048.\u30c6\u30b9\u30c8/", "xn--r8jz45g.xn--zckzah", 443, "/"),
        ("https://example.com/\u00fc?q=\u00fc", "example.com", 443, "/%C3%BC?q=%C3%BC"),
        ("https://example.com/a@b:c", "example.com", 443, "/a@b:c"),
        ("https://1.example.com/", "1.example.com", 443, "/"),
        ("https://0x7f.example/", "0x7f.example", 443, "/"),
        ("https://internal.example.com/", "internal.example.com", 443, "/"),
        ("https://metadata.example.com/", "metadata.example.com", 443, "/"),
        ("https://127.0.0.1.example.com/", "127.0.0.1.example.com", 443, "/"),
        ("https://example.com/" + "a" * 2028, "example.com", 443, "/" + "a" * 2028),
    ],
)
def test_good_urls_are_accepted(url: str, host: str, port: int, target: str) -> None:
    """Ordinary destinations pass and say exactly where a request will go."""
    destination = parse_destination(url, policy=PRODUCTION)
    assert (destination.scheme, destination.host, destination.port) == ("https", host, port)
    assert destination.target == target
    assert destination.url.raw_path_qs == target


@pytest.mark.parametrize(
    ("policy", "url"),
    [
        (LOOPBACK_OPEN, "http://127.0.0.1:8010/hook"),
        (LOOPBACK_OPEN, "https://127.0.0.1:8010/hook"),
        (LOOPBACK_OPEN, "http://127.9.9.9:6379/hook"),
        (LOOPBACK_OPEN, "http://[::1]:8010/hook"),
        (LOOPBACK_OPEN, "http://localhost:8010/hook"),
        (LOOPBACK_OPEN, "http://LOCALHOST:22/hook"),
        (CONTAINERS_OPEN, "http://172.20.3.4/hook"),
        (CONTAINERS_OPEN, "http://receiver:8010/hook"),
        (CONTAINERS_OPEN, "https://receiver/hook"),
    ],
)
def test_what_the_allow_list_opens_is_accepted_also_over_plain_http(policy: AddressPolicy, url: str) -> None:
    """Plain http and every port are fine where the operator opened the address."""
    assert parse_destination(url, policy=policy).url.scheme == url.partition(":")[0]


@pytest.mark.parametrize(
    ("policy", "url"),
    [
        (LOOPBACK_OPEN, "http://10.0.0.1/"),
        (LOOPBACK_OPEN, "https://10.0.0.1/"),
        (LOOPBACK_OPEN, "http://127.1/"),
        (LOOPBACK_OPEN, "http://2130706433/"),
        (LOOPBACK_OPEN, "http://8.8.8.8/"),
        (LOOPBACK_OPEN, "http://example.com/"),
        (LOOPBACK_OPEN, "http://receiver/"),
        (LOOPBACK_OPEN, "https://receiver/"),
        (LOOPBACK_OPEN, "http://a.localhost/"),
        (LOOPBACK_OPEN, "http://metadata.google.internal/"),
        (LOOPBACK_OPEN, "http://user@127.0.0.1/"),
        (LOOPBACK_OPEN, "http://127.0.0.1:0/"),
        (CONTAINERS_OPEN, "http://127.0.0.1/"),
        (CONTAINERS_OPEN, "http://localhost/"),
        (CONTAINERS_OPEN, "http://metadata/"),
        (CONTAINERS_OPEN, "http://example.com/"),
        (CONTAINERS_OPEN, "http://172.21.0.1/"),
    ],
)
def test_what_the_allow_list_does_not_open_stays_refused(policy: AddressPolicy, url: str) -> None:
    """Opening one network loosens nothing else."""
    with pytest.raises(DestinationRefused):
        parse_destination(url, policy=policy)


@given(st.text(max_size=60))
def test_any_text_is_a_destination_or_refused(text: str) -> None:
    """No input raises anything but ``DestinationRefused``."""
    for url in (text, f"https://{text}", f"https://{text}.example.com/", f"https://example.com:{text}"):
        try:
            destination = parse_destination(url, policy=PRODUCTION)
        except DestinationRefused:
            continue
        assert destination.scheme == "https"
        assert destination.host.isascii()
        assert destination.target.isascii()


@given(number=st.integers(min_value=0, max_value=2**32 - 1), form=st.sampled_from(["{}", "{:#x}", "0{:o}", "{:#X}"]))
def test_an_address_as_one_number_is_never_a_destination(number: int, form: str) -> None:
    """Decimal, hexadecimal and octal forms are refused even for public addresses."""
    with pytest.raises(DestinationRefused):
        parse_destination(f"https://{form.format(number)}/", policy=AddressPolicy([ip_network("0.0.0.0/0")]))
