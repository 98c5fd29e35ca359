"""API keys of wallets: own and generated ones, revealing, rotating, and what is kept of them."""

from typing import Any

import pytest

from shared.ewp.signing_keys import HmacKey
from support.gateway_service import BASE_URL, GatewayService, Tenant
from support.wallet_server import WalletServer

OWN = "an-own-key-of-36-bytes-or-a-bit-more"


async def _reveal(tenant: Tenant, made: dict[str, Any]) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/external-wallets/{made['id']}/api-key/reveal")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    shown: dict[str, Any] = answer.json()
    return shown


async def _rotate(tenant: Tenant, made: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/external-wallets/{made['id']}/api-key/rotate", json=body)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_a_key_is_revealed_and_that_is_audited(service: GatewayService, tenant: Tenant) -> None:
    """The same text and id as at registration; the entry names the key by its id alone."""
    made = await tenant.new_wallet(api_key=OWN)
    shown = await _reveal(tenant, made)
    assert (shown["api_key"], shown["api_key_id"]) == (OWN, made["api_key_id"])
    assert (await service.audit("wallet.api_key_revealed"))[-1] == {"api_key_id": made["api_key_id"]}


async def test_keys_are_sealed_and_bound_to_their_row(service: GatewayService, tenant: Tenant) -> None:
    """No table holds the text; a sealed value that is copied to another wallet does not open there."""
    mine, other = await tenant.new_wallet(api_key=OWN), await tenant.new_wallet()
    for table in ("external_wallets", "wallet_keys", "audit_entries", "idempotency_keys"):
        rows = await service.rows(f"SELECT to_jsonb(t)::text AS kept FROM {table} t")  # noqa: S608 - names of our tables
        assert not any(OWN in row.kept or OWN.encode().hex() in row.kept for row in rows)
    await service.rows(
        "UPDATE wallet_keys SET sealed_secret = (SELECT sealed_secret FROM wallet_keys ORDER BY id DESC OFFSET 1 LIMIT 1)"
        " WHERE id = (SELECT id FROM wallet_keys ORDER BY id DESC LIMIT 1)"
    )
    assert (await _reveal(tenant, mine))["api_key"] == OWN
    copied = await tenant.owner.post(f"/v1/external-wallets/{other['id']}/api-key/reveal")
    assert (copied.status_code, OWN in copied.text) == (500, False)


@pytest.mark.parametrize(
    ("key", "protocol"),
    [
        ("short-of-24-bytes-by-one", "ewp/1"),
        ("é" * 11, "ewp/1"),
        (" leading-space-and-24-bytes", "ewp/1"),
        ("line\nbreak-and-24-bytes-long", "ewp/1"),
        ("cw_sk_live_" + "x" * 49, "ewp/1"),
        ("a key with spaces in a header", "crm-v1"),
        ("überlanger-schlüssel-im-kopf", "crm-v1"),
    ],
)
async def test_an_own_key_that_would_not_do_is_refused(tenant: Tenant, key: str, protocol: str) -> None:
    """422 `api_key_malformed` at `/api_key`, which does not show the key."""
    key = key[:-1] if key.startswith("short") else key
    body = {"name": "x", "base_url": BASE_URL, "api_key": key, "protocol": protocol}
    answer = await tenant.owner.post("/v1/external-wallets", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "api_key_malformed")
    assert answer.json()["errors"][0]["pointer"] == "/api_key"
    assert key not in answer.text


async def test_an_own_key_may_be_any_text_of_24_bytes(tenant: Tenant) -> None:
    """Bytes count, not characters: its UTF-8 is what signs."""
    for key in ("x" * 24, "é" * 12, "with spaces inside is fine", "😀" * 6):
        made = await tenant.new_wallet(api_key=key)
        assert made["api_key"] == key
        assert (await _reveal(tenant, made))["api_key"] == key


async def test_both_keys_sign_during_the_overlap(service: GatewayService, tenant: Tenant) -> None:
    """A wallet that knows either of them is reached; after the overlap the new one signs alone."""
    async with tenant.served_wallet(balance_cache_seconds=0) as (made, server):
        old = server.keys[0]
        rotated = await _rotate(tenant, made, overlap_seconds=3600)
        assert rotated["previous_expires_at"] is not None
        new = HmacKey(rotated["api_key_id"], rotated["api_key"].encode())
        assert new.key_id != old.key_id
        for known in ([old], [new], [old, new]):
            server.keys = known
            assert await _reached(tenant, made)
            assert _signers(server) == {old.key_id, new.key_id}
        await service.rows("UPDATE wallet_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
        server.keys = [new]
        assert await _reached(tenant, made)
        assert _signers(server) == {new.key_id}
        server.keys = [old]
        assert not await _reached(tenant, made)
    assert (await service.audit("wallet.api_key_rotated"))[-1] == {
        "api_key_id": new.key_id,
        "overlap_seconds": 3600,
    }


async def test_a_rotation_without_overlap_ends_the_old_key_at_once(tenant: Tenant) -> None:
    """A key that leaked signs nothing more."""
    async with tenant.served_wallet(balance_cache_seconds=0) as (made, server):
        rotated = await _rotate(tenant, made, overlap_seconds=0, api_key=OWN)
        assert rotated["api_key"] == OWN
        server.keys = [HmacKey(rotated["api_key_id"], OWN.encode())]
        assert await _reached(tenant, made)
        assert _signers(server) == {rotated["api_key_id"]}
    assert (await _reveal(tenant, made))["api_key"] == OWN


async def test_a_request_never_carries_more_than_two_signatures(tenant: Tenant) -> None:
    """A third key is refused while two sign, unless the others end at once."""
    made = await tenant.new_wallet()
    await _rotate(tenant, made)
    path = f"/v1/external-wallets/{made['id']}/api-key/rotate"
    for body in (None, {}, {"overlap_seconds": 60}):
        refused = await tenant.owner.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    await _rotate(tenant, made, overlap_seconds=0)
    await _rotate(tenant, made)


async def test_a_repeated_rotation_answers_without_the_key(service: GatewayService, tenant: Tenant) -> None:
    """And rotates once."""
    made = await tenant.new_wallet()
    path = f"/v1/external-wallets/{made['id']}/api-key/rotate"
    first, again = [
        await tenant.owner.post(path, json={"overlap_seconds": 0}, headers={"idempotency-key": "rotate"})
        for _ in range(2)
    ]
    assert "api_key" in first.json()
    assert again.json() == {name: value for name, value in first.json().items() if name != "api_key"}
    kept = await service.rows("SELECT body FROM idempotency_keys WHERE key = 'rotate'")
    assert first.json()["api_key"].encode() not in kept[0].body


async def _reached(tenant: Tenant, made: dict[str, Any]) -> bool:
    path = f"/v1/external-wallets/{made['id']}/balances"
    answer = await tenant.owner.get(path, params={"owner_ref": "a1b2c3d4"})
    assert answer.status_code == 200, answer.text
    return answer.json()["partial"] is False


def _signers(server: WalletServer) -> set[str]:
    head = server.requests[-1].partition(b"\r\n\r\n")[0].decode()
    (line,) = (line for line in head.split("\r\n") if line.lower().startswith("signature-input:"))
    return {part.split('"')[1] for part in line.split("keyid=")[1:]}
