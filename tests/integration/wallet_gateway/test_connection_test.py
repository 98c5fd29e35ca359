"""An operator's test of a connection: a line for each check, whatever is wrong."""

import asyncio
import socket
import ssl
import time
from email.utils import formatdate
from typing import Any

import pytest

from shared.ewp.signing_keys import HmacKey
from support.egress_peer import Peer, answer, run_peer
from support.fake_wallet import FakeWallet
from support.gateway_service import GatewayService, Tenant

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def _tested(tenant: Tenant, made: dict[str, Any]) -> dict[str, Any]:
    told = await tenant.owner.post(f"/v1/external-wallets/{made['id']}/test-connection")
    assert told.status_code == 200, told.text
    shown: dict[str, Any] = told.json()
    assert [check["name"] for check in shown["checks"]] == [
        "address",
        "tls",
        "signature",
        "clock_skew",
        "capabilities",
    ]
    assert shown["ok"] is all(check["status"] != "failed" for check in shown["checks"])
    return shown


def _lines(shown: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {check["name"]: (check["status"], check["code"]) for check in shown["checks"]}


async def test_a_good_wallet_passes_and_its_capabilities_are_kept(service: GatewayService, tenant: Tenant) -> None:
    """Nothing is moved; the result is audited; the wallet is shown with what it can do from then on."""
    async with tenant.served_wallet() as (made, server):
        shown = await _tested(tenant, made)
        assert shown["ok"] is True
        assert _lines(shown) == {
            "address": ("ok", None),
            "tls": ("skipped", None),
            "signature": ("ok", None),
            "clock_skew": ("skipped", None),
            "capabilities": ("ok", None),
        }
        assert "its answers are signed" in shown["checks"][2]["detail"]
        assert server.wallet.calls == []
    assert shown["capabilities"]["holds"] is True
    after = (await tenant.owner.get(f"/v1/external-wallets/{made['id']}")).json()
    assert after["capabilities"] == shown["capabilities"]
    assert after["capabilities_at"] is not None
    assert (await service.audit("wallet.connection_tested"))[-1]["signature"] == "ok"


async def test_a_document_beyond_all_bounds_is_a_failed_check(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was known before stands."""
    wallet = FakeWallet()
    async with tenant.served_wallet(wallet) as (made, _):
        before = await _tested(tenant, made)
        sane = wallet.model.well_known()
        beyond = sane.model_copy(update={"retention_days": 10**20})
        monkeypatch.setattr(type(wallet.model), "well_known", lambda _model: beyond)
        shown = await _tested(tenant, made)
    assert _lines(shown)["capabilities"] == ("failed", "answer_malformed")
    assert shown["capabilities"] is None
    after = (await tenant.owner.get(f"/v1/external-wallets/{made['id']}")).json()
    assert after["capabilities"] == before["capabilities"]


async def test_the_home_wallet_is_tested_by_its_own_path(tenant: Tenant) -> None:
    """The same lines."""
    async with tenant.served_wallet(home=True):
        told = await tenant.owner.post("/v1/home-wallet/test-connection")
        assert (told.status_code, told.json()["ok"]) == (200, True)
        assert (await tenant.owner.get("/v1/home-wallet")).json()["capabilities"]["feed"] is True


async def test_nobody_listens(tenant: Tenant) -> None:
    """The address fails, and what lies behind it was not tried."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{port}")
    shown = await _tested(tenant, made)
    assert _lines(shown) == {
        "address": ("failed", "connect_failed"),
        "tls": ("skipped", None),
        "signature": ("skipped", None),
        "clock_skew": ("skipped", None),
        "capabilities": ("skipped", None),
    }


async def test_a_certificate_that_is_not_trusted(tenant: Tenant, server_tls: ssl.SSLContext) -> None:
    """The address is good, TLS is not, and nothing was sent."""
    async with run_peer(answer(b""), tls=server_tls) as peer:
        made = await tenant.new_wallet(base_url=f"https://127.0.0.1:{peer.port}")
        lines = _lines(await _tested(tenant, made))
        assert (lines["address"], lines["tls"]) == (("ok", None), ("failed", "tls_failed"))
        assert peer.requests == []


async def test_a_key_that_the_wallet_does_not_know(tenant: Tenant) -> None:
    """The signature fails with the wallet's 401; what the wallet can do is known all the same."""
    async with tenant.served_wallet() as (made, server):
        server.keys = [HmacKey(made["api_key_id"], b"another secret of the same id")]
        lines = _lines(await _tested(tenant, made))
        assert lines["signature"][0] == "failed"


async def test_a_wallet_that_takes_any_signature_fails(tenant: Tenant) -> None:
    """Its balances are right, and anybody could move its money."""
    wallet = FakeWallet().model
    page, known = (
        wallet.query(owner_refs=["nobody"], currency=None, cursor=None, limit=1).to_json(),
        wallet.well_known().to_json(),
    )

    async def trusting(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = known if b".well-known" in await peer.read_request(reader) else page
        writer.write(JSON + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with run_peer(trusting) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}")
        shown = await _tested(tenant, made)
        assert (_lines(shown)["signature"], shown["ok"]) == (("failed", "any_signature_accepted"), False)


@pytest.mark.parametrize(
    ("skew_seconds", "status"), [(0, "ok"), (-29, "ok"), (60, "warning"), (-299, "warning"), (600, "failed")]
)
async def test_the_wallets_clock_is_compared_with_ours(tenant: Tenant, skew_seconds: int, status: str) -> None:
    """Up to 30 s is good, up to the protocol's 300 s a warning, more refuses every request."""

    async def dated(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        date = formatdate(time.time() + skew_seconds, usegmt=True)
        writer.write(f"HTTP/1.1 401 x\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()

    async with run_peer(dated) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}")
        code = None if status == "ok" else "clock_skew"
        assert _lines(await _tested(tenant, made))["clock_skew"] == (status, code)


async def test_a_document_that_is_none_fails_its_line(tenant: Tenant) -> None:
    """And is not kept."""
    async with run_peer(answer(JSON + b"content-length: 2\r\n\r\n{}")) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}")
        shown = await _tested(tenant, made)
        assert (_lines(shown)["capabilities"][0], shown["capabilities"]) == ("failed", None)
        assert (await tenant.owner.get(f"/v1/external-wallets/{made['id']}")).json()["capabilities"] is None


async def test_crm_v1_has_no_document_to_read(tenant: Tenant) -> None:
    """The line is skipped; the read decides."""
    body = b'{"data":[],"count":0}'
    async with run_peer(answer(JSON + b"content-length: %d\r\n\r\n" % len(body) + body)) as peer:
        made = await tenant.new_wallet(base_url=f"http://127.0.0.1:{peer.port}", protocol="crm-v1")
        shown = await _tested(tenant, made)
        assert _lines(shown)["capabilities"] == ("skipped", None)
        assert len(peer.requests) == 2


async def test_it_goes_past_an_open_breaker_and_closes_it(service: GatewayService, tenant: Tenant) -> None:
    """The operator who has repaired the wallet need not wait."""
    async with tenant.served_wallet() as (made, server):
        path = f"/v1/external-wallets/{made['id']}/balances"
        server.wallet.faults.extend(["lost"] * 5)
        for number in range(5):
            await tenant.owner.get(path, params={"owner_ref": f"owner-{number}"})
        unavailable = await tenant.owner.get(path, params={"owner_ref": "a"})
        assert unavailable.json()["errors"][0]["code"] == "wallet_unavailable"
        assert (await _tested(tenant, made))["ok"] is True
        await service.resources.notices.settle()
        assert (await tenant.owner.get(path, params={"owner_ref": "a"})).json()["partial"] is False


async def test_too_many_tests_at_once_are_refused(service: GatewayService, tenant: Tenant) -> None:
    """503 `wallet_unavailable` with Retry-After: the slow lane belongs to the resolver as well."""
    made = await tenant.new_wallet(base_url="http://127.0.0.1:1")
    path = f"/v1/external-wallets/{made['id']}/test-connection"
    answers = [await tenant.owner.post(path) for _ in range(60)]
    refused = next(answered for answered in answers if answered.status_code == 503)
    assert (refused.json()["code"], int(refused.headers["retry-after"]) >= 1) == ("wallet_unavailable", True)
    assert service.resources.wallets.isolation.open_seconds(made["id"]) == 0
