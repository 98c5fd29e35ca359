"""Custom headers: none stands for one of ours, or says how a request is carried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhook_signatures import SigningSecret
from webhook_dispatcher.deliveries.wire_formats import SigningConfig, WireFormat, sign
from webhook_dispatcher.webhooks.custom_headers import (
    check_custom_headers,
    check_signature_header,
    comparable,
    without_ours,
)

RESERVED = [
    *("webhook-id", "webhook-timestamp", "webhook-signature", "webhook-test", "webhook-of-tomorrow"),
    *("x-crm-signature", "x-crm-signature-previous", "x-signature", "x-signature-previous"),
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect", "user-agent", "accept-encoding", "cookie", "http2-settings"),
    *("proxy-authorization", "proxy-connection", "proxy-anything"),
]


@given(st.sampled_from(RESERVED), st.data())
def test_what_is_ours_is_refused_in_every_spelling(name: str, data: st.DataObject) -> None:
    """In any letter case, and with `_` for `-`, which some servers make one header."""
    spelt = "".join(
        data.draw(st.sampled_from([char.lower(), char.upper(), "_" if char == "-" else char])) for char in name
    )
    with pytest.raises(ValueError, match="set by us"):
        check_custom_headers({spelt: "x"})


@pytest.mark.parametrize("name", sorted(set(RESERVED) - {"x-crm-signature", "x-signature"}))
def test_a_signature_header_is_not_one_of_ours_either(name: str) -> None:
    """But for the two that formats of ours use by default."""
    with pytest.raises(ValueError, match="set by us"):
        check_signature_header(name.title())
    assert check_signature_header("X-Signature") == "X-Signature"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1", "x-a": "2"},
        {"X-A-B": "1", "X_A_B": "2"},
        {"X-A": "1\r\nwebhook-id: evil"},
        {"X-A": "1\n folded"},
        {"X-A": "1\r\n\tfolded"},
        {"X-A": "nul\0"},
        {"X-A\r\nwebhook-id": "evil"},
        {"X-A:": "1"},
        {" X-A": "1"},
        {":authority": "evil.example.com"},
        {"": "1"},
    ],
)
def test_a_header_is_one_line_and_stands_once(headers: dict[str, str]) -> None:
    """No second header hides in a name, a value or a fold, and none stands twice."""
    with pytest.raises(ValueError, match=r"twice|printable"):
        check_custom_headers(headers)


def test_others_are_the_owners_to_set() -> None:
    """Among them Authorization, for destinations that want one."""
    headers = {"Authorization": "Bearer abc", "X-Region": "eu", "traceparent-of-mine": "1"}
    assert check_custom_headers(headers) == headers


@pytest.mark.parametrize("wire_format", ["standard", "crm", "timestamped"])
@pytest.mark.parametrize("secrets", [1, 2])
def test_beside_ours_no_custom_header_remains(wire_format: WireFormat, secrets: int) -> None:
    """Also where rules of an earlier day let one in, and for the header of the previous secret when none is sent."""
    signing = SigningConfig(
        wire_format=wire_format,
        secrets=[SigningSecret.generate() for _ in range(secrets)],
        signature_header=None if wire_format == "standard" else "X-Pay-Sig",
    )
    ours = sign(signing, event_id="e", timestamp=1, body=b"{}")
    taken = signing.own_headers | {comparable(name) for name, _ in ours}
    custom = {"Webhook_ID": "x", "CONTENT-TYPE": "x", "User_Agent": "x", "X-Mine": "y"}
    signatures = {} if wire_format == "standard" else {"x-pay-sig": "x", "X_Pay_Sig-Previous": "x"}
    assert without_ours({**custom, **signatures}, taken) == {"X-Mine": "y"}
