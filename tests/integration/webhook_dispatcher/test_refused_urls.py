"""Hostile URLs are refused when a webhook is registered or changed, in production mode: the whole list."""

import pytest

from shared import key_format
from support.dispatcher_service import URL, DispatcherService, Tenant


def _words(text: str) -> list[str]:
    return text.split()


HOSTS = [
    *_words("""
        127.0.0.1 127.1 127.127.127.127 0 0.0.0.0 0.1.2.3 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 10.0.0.1
        172.16.0.1 192.168.0.1 100.64.0.1 169.254.169.254 2852039166 0xA9.0xFE.0xA9.0xFE 0251.0376.0251.0376
        425.510.425.510 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 192.88.99.1 224.0.0.1
        240.0.0.1 255.255.255.255
    """),
    *_words("""
        [::] [::1] [::ffff:127.0.0.1] [::ffff:a9fe:a9fe] [::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::a9fe:a9fe]
        [2002:7f00:1::] [2001::1] [fe80::1%25eth0] [fec0::1] [fd00:ec2::254] [ff02::1] [3fff::1] [5f00::1]
        [::ffff:0:7f00:1]
    """),
    *_words("localhost LOCALHOST. ip6-localhost metadata.google.internal metadata instance-data"),
    *("\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1"),
]
SYNTAX = [
    *("https://user@example.com/", "https://user:secret@example.com/", "http://8.8.8.8\\@127.0.0.1", "http:127.0.0.1/"),
    *(
        "//127.0.0.1",
        "https://exa\rmple.com/",
        "https://exa\nmple.com/",
        "https://example.com\r\nx: y/",
        "https://a%00.com/",
    ),
    *(
        "https://%31%32%37.0.0.1/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "dict://example.com/",
        "ftp://example.com/",
    ),
    *("jar:https://example.com!/", "https://example.com:0/", "https://example.com:22/", "https://example.com:25/"),
    *(
        "https://example.com:6379/",
        "https://example.com:99999/",
        "https:///path",
        "https://",
        "example.com",
        "https://a b/",
    ),
    *(
        "http://example.com/",
        "http://8.8.8.8/",
        "javascript:alert(1)",
        "https://example.com/#fragment",
        "https://example.com\\x",
    ),
]
HOSTILE = [*(f"{scheme}://{host}/" for host in HOSTS for scheme in ("https", "http")), *SYNTAX]


async def test_no_hostile_url_is_registered(service: DispatcherService) -> None:
    """422 at /url by creation and by a change; the webhook keeps its URL, and none is added."""
    tenant: Tenant = await service.new_tenant()
    webhook = await tenant.new_webhook()
    let_through = []
    for url in HOSTILE:
        created = await tenant.owner.post("/v1/webhooks", json={"name": "x", "url": url, "events": ["*"]})
        changed = await tenant.owner.patch(f"/v1/webhooks/{webhook['id']}", json={"url": url})
        for answer in (created, changed):
            refused = (answer.status_code, answer.json().get("code")) == (422, "destination_not_allowed")
            if not refused or [error["pointer"] for error in answer.json()["errors"]] != ["/url"]:
                let_through.append((url, answer.status_code, answer.text[:200]))
    assert let_through == []
    shown = (await tenant.owner.get("/v1/webhooks")).json()["data"]
    assert [item["url"] for item in shown] == [URL]


@pytest.mark.parametrize(
    "url", ["https://8.8.8.8/hook", "https://[2606:4700::1111]:8443/", "https://hooks.example.com./x"]
)
async def test_public_destinations_are_registered(tenant: Tenant, url: str) -> None:
    """The guard refuses what is hostile, not what is unusual."""
    assert (await tenant.new_webhook(url=url))["url"] == url


async def test_a_url_that_holds_a_credential_of_ours_is_refused(tenant: Tenant) -> None:
    """It would be shown, logged and audited."""
    url = f"https://hooks.example.com/{key_format.generate('secret', 'live')}"
    answer = await tenant.owner.post("/v1/webhooks", json={"name": "x", "url": url, "events": ["*"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "destination_not_allowed")
    assert "cw_sk" not in answer.text
