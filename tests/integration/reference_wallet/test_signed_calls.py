"""Who may call the reference wallet, and with what its answers are signed."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from reference_wallet.app import create_app
from shared.ewp.fields import format_time
from shared.ewp.signatures import Request, sign_request, verify_response
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey
from support.apps import on_socket
from support.databases import Databases
from support.reference_wallet import ReferenceWallet, WalletCaller, WalletSystem, order, reference_wallet

_PATH = "/v1/transfers/sig1.d.1"


async def sent(
    wallet: ReferenceWallet, headers: dict[str, str], body: bytes = b"", path: str = _PATH
) -> httpx2.Response:
    """Send a PUT as it is given."""
    return await wallet.http.put(path, content=body, headers={**headers, "content-type": "application/json"})


def code_of(answer: httpx2.Response) -> str:
    """Return the reason of a refused signature."""
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "signature_refused"
    return str(answer.json()["detail"]).partition(":")[0]


async def test_every_answer_is_signed_and_bound_to_its_request(system: WalletSystem) -> None:
    """Answers carry a signature over status, digest and the request's signature; problems too."""
    for method, target, body in (
        ("PUT", _PATH, order()),
        ("GET", "/v1/transfers/none", None),
        ("PUT", _PATH, {"x": 1}),
    ):
        answer = await system.caller.call(method, target, body)
        assert '"@status" "content-digest" "signature";req' in answer.headers["signature-input"]
        assert f'keyid="{system.key.key_id}"' in answer.headers["signature-input"]


async def test_an_unsigned_request_is_refused(wallet: ReferenceWallet) -> None:
    """Without a signature nothing is done."""
    assert code_of(await sent(wallet, {}, b"{}")) == "signature_missing"


_ALTERATIONS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "signature_mismatch": lambda headers: {**headers, "signature": f"sig1=:{base64.b64encode(b'0' * 32).decode()}:"},
    "signature_malformed": lambda headers: {**headers, "signature": "nonsense("},
    "signature_components_missing": lambda headers: {
        **headers,
        "signature-input": headers["signature-input"].replace('"@query" ', ""),
    },
    "signature_key_unknown": lambda headers: {
        **headers,
        "signature-input": headers["signature-input"].replace('keyid="ak_', 'keyid="bk_'),
    },
}


@pytest.mark.parametrize("code", _ALTERATIONS)
async def test_an_altered_signature_is_refused(system: WalletSystem, wallet: ReferenceWallet, code: str) -> None:
    """Whatever is not exactly what was signed is refused with its reason."""
    headers = system.caller.signed_headers("PUT", _PATH, b"{}")
    assert code_of(await sent(wallet, _ALTERATIONS[code](headers), b"{}")) == code


async def test_body_path_query_and_method_are_covered(system: WalletSystem, wallet: ReferenceWallet) -> None:
    """A signature is good for the one request that it was made for."""
    headers = system.caller.signed_headers("PUT", _PATH, b"{}")
    assert code_of(await sent(wallet, headers, b"{ }")) == "content_digest_mismatch"
    assert code_of(await sent(wallet, headers, b"{}", path=f"{_PATH}/cancel")) == "signature_mismatch"
    assert code_of(await sent(wallet, headers, b"{}", path=f"{_PATH}?x=1")) == "signature_mismatch"
    answer = await wallet.http.request("POST", "/v1/balances:query", content=b"{}", headers=headers)
    assert code_of(answer) == "signature_mismatch"


@pytest.mark.parametrize(("skew_seconds", "accepted"), [(-290, True), (290, True), (-600, False), (600, False)])
async def test_clocks_may_differ_by_five_minutes(
    system: WalletSystem,
    skew_seconds: int,
    accepted: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Up to 300 s either way are accepted; 10 minutes are refused, told, and have no effect."""
    answer = await system.caller.call("PUT", _PATH, order(), created=time.time() + skew_seconds)
    assert answer.status_code == (200 if accepted else 401)
    if not accepted:
        assert code_of(answer) == "signature_time"
        assert (await system.caller.call("GET", _PATH)).status_code == 404


async def test_a_nonce_is_good_once_in_all_processes(wallet: ReferenceWallet) -> None:
    """The same request again is refused, also by another process on the same database."""
    system = await wallet.new_system()
    headers = system.caller.signed_headers("GET", "/v1/transfers/none", b"")
    assert (await wallet.http.get("/v1/transfers/none", headers=headers)).status_code == 404
    assert code_of(await wallet.http.get("/v1/transfers/none", headers=headers)) == "nonce_replayed"
    fresh = system.caller.signed_headers("GET", "/v1/transfers/none", b"")
    async with (
        on_socket(create_app(wallet.settings)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as other,
    ):
        headers = {**headers, "host": _netloc(wallet)}
        assert code_of(await other.get("/v1/transfers/none", headers=headers)) == "nonce_replayed"
        assert (await other.get("/v1/transfers/none", headers=fresh | {"host": _netloc(wallet)})).status_code == 404
    assert code_of(await wallet.http.get("/v1/transfers/none", headers=fresh)) == "nonce_replayed"


async def test_during_a_rotation_either_key_is_enough(wallet: ReferenceWallet) -> None:
    """Two signatures are sent; a wallet that knows one of the keys accepts, and replaying the other alone is refused."""
    system = await wallet.new_system()
    await system.open_wallet()
    unknown = HmacKey.of_text("ak_not_yet", "x" * 32)
    both = WalletCaller(http=wallet.http, keys=[unknown, system.key])
    assert (await both.put("rot.d.1"))["state"] == "committed"
    second = await wallet.new_key(system.name)
    rotated = WalletCaller(http=wallet.http, keys=[second, system.key])
    headers = rotated.signed_headers("GET", _PATH, b"")
    assert (await wallet.http.get(_PATH, headers=headers)).status_code == 404
    alone = {name: headers[name].split(", sig2=")[0] for name in ("signature", "signature-input")}
    assert code_of(await wallet.http.get(_PATH, headers=alone)) == "nonce_replayed"


async def test_a_key_that_ended_is_refused(wallet: ReferenceWallet) -> None:
    """A key with an end in the past is as one that is not known."""
    system = await wallet.new_system()
    ended = {"secret": system.key.secret.decode(), "ends_at": format_time(datetime.now(UTC) - timedelta(seconds=1))}
    await system.do("PUT", f"api-keys/{system.key.key_id}", ended)
    assert code_of(await system.caller.call("GET", _PATH)) == "signature_key_unknown"


async def test_ed25519_keys_work_both_ways(wallet: ReferenceWallet) -> None:
    """A caller signs with its private key; the answer verifies with the public key that the well-known document shows."""
    system = await wallet.new_system()
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    key_id = f"{system.name}-ed"
    registered = await system.do("PUT", f"api-keys/{key_id}", {"algorithm": "ed25519", "secret": public})
    target = "/.well-known/external-wallet"
    request = Request(method="GET", scheme="http", authority=_netloc(wallet), target=target)
    headers = sign_request([Ed25519SigningKey(key_id, private)], request, created=int(time.time()))
    shown = (await wallet.http.get(target, headers=headers)).json()["public_keys"]
    assert shown == [{"keyid": key_id, "alg": "ed25519", "public_key": registered["public_key"]}]
    request = Request(method="GET", scheme="http", authority=_netloc(wallet), target=_PATH)
    headers = sign_request([Ed25519SigningKey(key_id, private)], request, created=int(time.time()))
    answer = await wallet.http.get(_PATH, headers=headers)
    verify_response(
        status=404,
        body=answer.content,
        headers=list(answer.headers.multi_items()),
        request_signature=headers["signature"],
        keys={key_id: Ed25519VerifyingKey.of_base64(key_id, registered["public_key"])},
        now=time.time(),
    )


async def test_the_well_known_document_needs_no_signature(wallet: ReferenceWallet) -> None:
    """Anybody may ask what a wallet system here can do."""
    document: dict[str, Any] = (await wallet.http.get("/.well-known/external-wallet")).json()
    assert document["versions"] == ["ewp/1"]
    assert {"code": "BHD", "scale": 3} in document["currencies"]
    assert (document["holds"], document["holds_expire"], document["feed"]) == (True, False, True)


async def test_the_control_api_wants_its_token(wallet: ReferenceWallet, databases: Databases) -> None:
    """Without the token nothing is controlled; on a server without one the control API does not exist."""
    assert (await wallet.http.put("/control/systems/x", json={})).status_code == 401
    async with reference_wallet(databases, control_token=SecretStr("")) as closed:
        answer = await closed.http.put("/control/systems/x", json={}, headers={"authorization": "Bearer nothing"})
        assert answer.status_code == 404


async def test_faults_are_off_unless_asked_for(databases: Databases) -> None:
    """A server without the setting makes no fault, whoever asks."""
    async with reference_wallet(databases, wallet_faults=False) as wallet:
        system = await wallet.new_system()
        for what, content in (("faults", {"kind": "drop"}), ("restore", {"seq": 0})):
            answer = await wallet.control.post(f"/control/systems/{system.name}/{what}", json=content)
            assert (answer.status_code, answer.json()["code"]) == (404, "faults_off")
        assert (await wallet.control.put("/control/clock", json={"skew_seconds": 600})).status_code == 404


def _netloc(wallet: ReferenceWallet) -> str:
    return wallet.http.base_url.netloc.decode()
