"""Our signatures of ewp/1 and those of programs that others wrote: each verifies the other's, requests and responses.

``http-message-signatures`` of Python and the package of the same name of Node are different programs by different people.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)

from shared.ewp.nonces import NonceMemory
from shared.ewp.signature_errors import SignatureMismatchError
from shared.ewp.signatures import Request, new_nonce, sign_request, sign_response, verify_request, verify_response
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey, SigningKey, VerifyingKey
from support.node_clients import NodeClients

SECRET = "a shared secret, wholly made up, with an \u00e4"
SEED = base64.b64encode(bytes(range(32))).decode()
HMAC = HmacKey.of_text("ewk_hmac", SECRET)
ED25519 = Ed25519SigningKey.of_base64("ewk_ed", SEED)
PUBLIC = Ed25519VerifyingKey("ewk_ed", ED25519.private_key.public_key())
SIGNERS: list[SigningKey] = [HMAC, ED25519]
VERIFIERS: dict[str, VerifyingKey] = {"ewk_hmac": HMAC, "ewk_ed": PUBLIC}

ORDER = b'{"op":"debit","mode":"hold","wallet_id":"w1","owner_ref":"a1b2c3d4","amount":"10.50","currency":"USD"}'
ANSWER = b'{"transfer_id":"tr_1.source.1","state":"held","op":"debit","amount":"10.50","currency":"USD","seq":7}'
REQUESTS = {
    "order": Request(
        method="PUT",
        scheme="https",
        authority="Wallet.example:8443",
        target="/b/v1/transfers/tr_1.source.1",
        body=ORDER,
    ),
    "read": Request(
        method="GET", scheme="https", authority="wallet.example:443", target="/v1/transfers?after_seq=0&limit=9"
    ),
    "escaped": Request(
        method="GET", scheme="https", authority="wallet.example", target="/v1/wallets/a%2Fb%20c/balance"
    ),
    "commit": Request(
        method="PUT", scheme="https", authority="wallet.example", target="/v1/transfers/tr_1.source.1/commit"
    ),
}


@dataclass(slots=True)
class Sent:
    """A request as the other program of Python wants it."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(slots=True)
class Answered:
    """A response as the other program of Python wants it."""

    status_code: int
    headers: dict[str, str]
    request: Sent
    body: bytes = field(default=ANSWER)


RESOLVER = MappingKeyResolver(
    public_keys={"ewk_hmac": HMAC.secret, "ewk_ed": PUBLIC.public_key},
    private_keys={"ewk_hmac": HMAC.secret, "ewk_ed": ED25519.private_key},
)
ALGORITHMS = {"hmac-sha256": algorithms.HMAC_SHA256, "ed25519": algorithms.ED25519}


def url_of(request: Request) -> str:
    """Return the URL that was asked for."""
    return f"{request.scheme}://{request.authority}{request.target}"


def signed(request: Request, *keys: SigningKey) -> dict[str, str]:
    """Return our fields for a request made now."""
    return sign_request(keys, request, created=int(time.time()))


def answer_of(key: SigningKey, headers: Mapping[str, str]) -> dict[str, str]:
    """Return our fields for the answer to a request with these fields."""
    return sign_response(key, status=200, body=ANSWER, request_signature=headers["signature"], created=int(time.time()))


def we_believe_request(request: Request, headers: Mapping[str, str], key: SigningKey) -> None:
    """Verify with ours."""
    received = replace(request, headers=tuple(headers.items()))
    verified = verify_request(received, keys=VERIFIERS, now=time.time(), nonces=NonceMemory())
    assert verified.key_id == key.key_id
    with pytest.raises(SignatureMismatchError):
        verify_request(replace(received, target=f"{request.target}x"), keys=VERIFIERS, now=time.time(), nonces=None)


def we_believe_response(headers: Mapping[str, str], request_signature: str, key: SigningKey) -> None:
    """Verify with ours, and not for another request."""

    def verify(bound_to: str) -> str:
        return verify_response(
            status=200,
            body=ANSWER,
            headers=list(headers.items()),
            request_signature=bound_to,
            keys=VERIFIERS,
            now=time.time(),
        ).key_id

    assert verify(request_signature) == key.key_id
    with pytest.raises(SignatureMismatchError):
        verify("sig1=:AAAA:")


@pytest.mark.parametrize("key", SIGNERS, ids=["hmac-sha256", "ed25519"])
@pytest.mark.parametrize("name", REQUESTS)
def test_the_other_program_of_python_takes_ours(name: str, key: SigningKey) -> None:
    """Requests and responses hold there; with anything else in them they do not."""
    request = REQUESTS[name]
    sent = Sent(request.method, url_of(request), signed(request, key))
    verifier = HTTPMessageVerifier(signature_algorithm=ALGORITHMS[key.algorithm], key_resolver=RESOLVER)
    required = ["@method", "@authority", "@path", "@query"]
    result = verifier.verify(sent, require_components=required, body=request.body)
    assert result[0].parameters["keyid"] == key.key_id
    assert result[0].nonce
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(sent, method="DELETE"))
    answered = Answered(200, answer_of(key, sent.headers), sent)
    bound = ["@status", "content-digest", '"signature";req']
    assert verifier.verify(answered, require_components=bound, body=ANSWER)[0].label == "sig1"
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(answered, status_code=201))
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(answered, request=replace(sent, headers=signed(request, key))))


@pytest.mark.parametrize("key", SIGNERS, ids=["hmac-sha256", "ed25519"])
@pytest.mark.parametrize("name", REQUESTS)
def test_we_take_those_of_the_other_program_of_python(name: str, key: SigningKey) -> None:
    """Its requests and responses hold here."""
    request = REQUESTS[name]
    sent = Sent(request.method, url_of(request), {})
    signer = HTTPMessageSigner(signature_algorithm=ALGORITHMS[key.algorithm], key_resolver=RESOLVER)
    signer.sign(
        sent,
        key_id=key.key_id,
        created=datetime.now(UTC),
        nonce=new_nonce(),
        label="other",
        covered_component_ids=("@method", "@authority", "@path", "@query"),
        body=request.body or None,
    )
    we_believe_request(request, sent.headers, key)
    signature = sent.headers["Signature"]
    answered = Answered(200, {}, sent)
    signer.sign(
        answered,
        key_id=key.key_id,
        created=datetime.now(UTC),
        covered_component_ids=("@status", "content-digest", '"signature";req'),
        body=ANSWER,
    )
    we_believe_response(answered.headers, signature, key)


@pytest.mark.parametrize("key", SIGNERS, ids=["hmac-sha256", "ed25519"])
def test_both_signatures_of_a_rotation_hold_there(key: SigningKey) -> None:
    """Each is judged by itself, whichever key a wallet knows."""
    request = REQUESTS["order"]
    other = HmacKey.of_text("ewk_next", "the next secret, wholly made up")
    sent = Sent(request.method, url_of(request), signed(request, other, key))
    verifier = HTTPMessageVerifier(signature_algorithm=ALGORITHMS[key.algorithm], key_resolver=RESOLVER)
    verifier.allow_label_only_selection = True
    with pytest.warns(match="label"):
        assert verifier.verify(sent, expect_label="sig2", body=ORDER)[0].parameters["keyid"] == key.key_id
    answered = Answered(200, answer_of(key, sent.headers), sent)
    assert verifier.verify(answered, body=ANSWER)


async def test_the_program_of_node_and_ours_agree(node_clients: NodeClients) -> None:
    """Ours hold there, altered ones do not; theirs hold here, and not for another request."""
    cases, expected = [], []
    for request in REQUESTS.values():
        for key in SIGNERS:
            headers = signed(request, key)
            cases.append(
                {
                    "keyid": key.key_id,
                    "created": int(time.time()),
                    "request": {"method": request.method, "url": url_of(request), "headers": headers},
                    "response": {"status": 200, "headers": answer_of(key, headers)},
                }
            )
            expected.append((request, key))
    told = await node_clients.run(
        "http-message-signatures.mjs",
        CASES=json.dumps(
            {
                "hmac": {"id": HMAC.key_id, "secret": SECRET},
                "ed25519": {"id": ED25519.key_id, "seed": SEED},
                "cases": cases,
            }
        ),
    )
    verdicts = ("request", "alteredRequest", "response", "alteredResponse", "otherRequest")
    assert len(told) == len(cases) == 8
    for (request, key), case in zip(expected, told, strict=True):
        assert [case[name] for name in verdicts] == [True, False, True, False, False]
        we_believe_request(request, _lower(case["signedRequest"]), key)
        we_believe_response(_lower(case["signedResponse"]), _lower(case["signedRequest"])["signature"], key)


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
