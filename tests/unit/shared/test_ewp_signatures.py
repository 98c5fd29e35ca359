"""Signatures of ewp/1: what is signed holds, and nothing else does."""

import base64
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp import signature_errors as errors
from shared.ewp.nonces import NonceMemory
from shared.ewp.signature_fields import Component, content_digest, read_signatures
from shared.ewp.signatures import (
    Request,
    new_nonce,
    normal_authority,
    sign_request,
    signature_base,
)
from shared.ewp.signing_keys import Ed25519SigningKey, HmacKey, SigningKey
from support.ewp_signing import (
    BODY,
    NEW,
    NOW,
    OLD,
    PLAIN,
    PRIVATE,
    PUBLIC,
    signed,
    verify,
    with_header,
)

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

# RFC 9421 appendix B.2: the request of the examples, and their keys.
RFC_VALUES = {
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "@method": "POST",
    "@path": "/foo",
    "@authority": "example.com",
    "content-type": "application/json",
    "content-length": "18",
}
RFC_SECRET = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
RFC_ED25519_SEED = "n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU="


def test_the_base_is_the_one_of_the_standard() -> None:
    """RFC 9421 B.2.5 and B.2.6: the same base, the same HMAC, the same Ed25519 signature."""
    hmac_input = 'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    ed_input = (
        'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");'
        'created=1618884473;keyid="test-key-ed25519"'
    )
    for text, key, signature in (
        (
            hmac_input,
            HmacKey("test-shared-secret", base64.b64decode(RFC_SECRET)),
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
        ),
        (
            ed_input,
            Ed25519SigningKey.of_base64("test-key-ed25519", RFC_ED25519_SEED),
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        ),
    ):
        offered = read_signatures(signature_input=text, signature=f"{text[:7]}=:{signature}:")[0]
        base = signature_base(offered.components, offered.params_text, lambda component: RFC_VALUES[component.name])
        assert base64.b64encode(key.sign(base)).decode() == signature


def test_the_digest_is_the_one_of_the_standard() -> None:
    """RFC 9530: the digest of ``{"hello": "world"}`` and a line feed."""
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_the_fields_are_exactly_these() -> None:
    """Order of components and parameters, quotes, ``@query`` with its question mark, no digest without a body."""
    headers = sign_request([NEW, OLD], replace(PLAIN, body=b"", target="/p"), created=NOW, nonce="n")
    params = f'("@method" "@authority" "@path" "@query");created={NOW};nonce="n";keyid="{{}}";alg="hmac-sha256"'
    assert headers["signature-input"] == f"sig1={params.format('ewk_new')}, sig2={params.format('ewk_old')}"
    assert headers.keys() == {"signature-input", "signature"}
    with_body = sign_request([NEW], PLAIN, created=NOW)
    assert '"@query" "content-digest");' in with_body["signature-input"]
    assert with_body["content-digest"] == content_digest(BODY)


def test_derived_values_are_normal() -> None:
    """Authority in lower case without the default port, an empty path is a slash, the query keeps its question mark."""
    assert normal_authority("Wallet.Example:443", "https") == "wallet.example"
    assert normal_authority("wallet.example:80", "HTTP") == "wallet.example"
    assert normal_authority("wallet.example:443", "http") == "wallet.example:443"
    assert normal_authority("[2001:DB8::1]:8443", "https") == "[2001:db8::1]:8443"
    same: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"authority": "WALLET.example:443"}, {"authority": "wallet.example"}),
        ({"target": ""}, {"target": "/"}),
        ({"target": "/p"}, {"target": "/p?"}),
    ]
    for ours, theirs in same:
        there = signed(replace(PLAIN, **ours))
        assert verify(replace(there, **theirs)).key_id == "ewk_new"


keys = st.sampled_from([[NEW], [NEW, OLD], [PRIVATE], [PRIVATE, NEW]])
targets = st.from_regex(r"\A/[A-Za-z0-9._~%/-]{0,40}(\?[A-Za-z0-9=&%?/-]{0,40})?\Z")


@NO_DEADLINE
@given(keys, st.sampled_from(["GET", "PUT", "POST"]), targets, st.binary(max_size=200), st.integers(-300, 300))
def test_what_was_signed_holds(signers: list[SigningKey], method: str, target: str, body: bytes, skew: int) -> None:
    """Any method, path, query and body, under any of the keys, within 300 seconds."""
    request = signed(replace(PLAIN, method=method, target=target, body=body), *signers, created=NOW + skew)
    for key in signers:
        verifying = PUBLIC if key is PRIVATE else key
        assert verify(request, verifying).key_id == key.key_id  # type: ignore[arg-type] # an HMAC key verifies too


tampered = st.sampled_from(
    ["method", "authority", "path", "query", "body", "digest", "created", "nonce", "keyid", "alg", "cover"]
)


@NO_DEADLINE
@given(tampered, st.sampled_from([NEW, PRIVATE]), st.randoms(use_true_random=False))
def test_tampering_with_anything_that_is_covered_is_refused(what: str, key: SigningKey, chance: random.Random) -> None:
    """Method, authority, path, query, body, digest, and each parameter of the signature."""
    request = signed(PLAIN, key)
    letter = chance.choice("abcdefghij")
    changes: dict[str, Callable[[], Request]] = {
        "method": lambda: replace(request, method=chance.choice(["GET", "POST", "put", "PATCH"])),
        "authority": lambda: replace(request, authority=f"{letter}.wallet.example"),
        "path": lambda: replace(request, target=request.target.replace("tr_1", f"tr_{letter}")),
        "query": lambda: replace(request, target=f"{request.target}{letter}"),
        "body": lambda: replace(request, body=BODY.replace(b"1", letter.encode())),
        "digest": lambda: with_header(request, "content-digest", lambda _: content_digest(letter.encode())),
        "created": lambda: with_header(request, "signature-input", lambda text: text.replace(f"{NOW}", f"{NOW + 1}")),
        "nonce": lambda: with_header(
            request, "signature-input", lambda text: text.replace('nonce="', f'nonce="{letter}')
        ),
        "keyid": lambda: with_header(request, "signature-input", lambda text: text.replace('"ewk_', f'"{letter}')),
        "alg": lambda: with_header(
            request, "signature-input", lambda text: text.replace("hmac-sha256", "x").replace("ed25519", "hmac-sha256")
        ),
        "cover": lambda: with_header(request, "signature-input", lambda text: text.replace('"@query" ', "")),
    }
    with pytest.raises(errors.SignatureRefusedError):
        verify(changes[what](), NEW if key is NEW else PUBLIC)


@NO_DEADLINE
@given(st.integers(0, 31), st.integers(1, 255))
def test_one_bit_of_the_signature_is_enough(place: int, mask: int) -> None:
    """A signature that differs anywhere does not hold."""
    request = signed()

    def flip(text: str) -> str:
        raw = bytearray(base64.b64decode(text[6:-1]))
        raw[place] ^= mask
        return f"sig1=:{base64.b64encode(raw).decode()}:"

    with pytest.raises(errors.SignatureMismatchError):
        verify(with_header(request, "signature", flip))


def test_each_key_of_a_rotation_verifies_alone() -> None:
    """A wallet that knows only one of the two keys takes the request; one that knows neither does not."""
    request = signed(PLAIN, NEW, OLD)
    assert verify(request, NEW).label == "sig1"
    assert verify(request, OLD).label == "sig2"
    with pytest.raises(errors.UnknownKeyError):
        verify(request, HmacKey.of_text("ewk_other", "x"))
    wrong = HmacKey.of_text("ewk_new", "same name, other secret")
    assert verify(request, wrong, OLD).key_id == "ewk_old"
    with pytest.raises(errors.SignatureMismatchError):
        verify(request, wrong)


@pytest.mark.parametrize(("skew", "good"), [(300, True), (-300, True), (301, False), (-301, False), (86_400, False)])
def test_a_signature_is_good_for_five_minutes_each_way(skew: int, good: bool) -> None:  # noqa: FBT001 - a column of the table
    """The refusal says by how much the clocks differ."""
    request = signed(created=NOW + skew)
    if good:
        assert verify(request).created == NOW + skew
        return
    with pytest.raises(errors.SignatureTimeError) as refused:
        verify(request)
    assert refused.value.skew_seconds == skew


def test_a_nonce_is_good_once() -> None:
    """A replay is known, also with one of the two signatures of a rotation left away."""
    nonces = NonceMemory()
    request = signed(PLAIN, NEW, OLD)
    verify(request, NEW, OLD, nonces=nonces)
    stripped = with_header(request, "signature-input", lambda text: text.partition(", ")[2])
    stripped = with_header(stripped, "signature", lambda text: text.partition(", ")[2])
    for replay in (request, stripped):
        with pytest.raises(errors.NonceReplayedError):
            verify(replay, NEW, OLD, now=NOW + 299, nonces=nonces)
    with pytest.raises(errors.SignatureTimeError):
        verify(request, NEW, OLD, now=NOW + 301, nonces=nonces)


def test_an_unproved_request_uses_up_no_nonce() -> None:
    """A forger who knows a nonce cannot spend it."""
    nonces = NonceMemory()
    request = signed()
    with pytest.raises(errors.SignatureRefusedError):
        verify(replace(request, body=b"other"), nonces=nonces)
    assert len(nonces) == 0
    assert verify(request, nonces=nonces).key_id == "ewk_new"


def test_the_memory_of_nonces_is_bounded_and_forgets_in_time() -> None:
    """Full means refused, never an early forgetting; what can no longer be replayed is gone."""
    nonces = NonceMemory(nonces_max=3)
    for number in range(3):
        verify(signed(created=NOW + number), nonces=nonces)
    with pytest.raises(errors.NonceMemoryFullError):
        verify(signed(), nonces=nonces)
    verify(signed(created=NOW + 302), now=NOW + 301, nonces=nonces)
    assert len(nonces) == 3
    verify(signed(created=NOW + 900), now=NOW + 900, nonces=nonces)
    assert len(nonces) == 1


def test_a_clock_that_was_put_back_stops_no_forgetting() -> None:
    """One that ran an hour ahead for a moment: what comes after it is forgotten in its time, and the memory does not fill."""
    nonces = NonceMemory(nonces_max=3)
    verify(signed(created=NOW + 3600), now=NOW + 3600, nonces=nonces)
    verify(signed(created=NOW), now=NOW, nonces=nonces)
    verify(signed(created=NOW + 900), now=NOW + 900, nonces=nonces)
    assert len(nonces) == 2


def test_other_components_may_be_signed_too() -> None:
    """A request that covers more than is demanded is good, and what it covers counts."""
    covered = (*(Component(name) for name in ("@method", "@authority", "@path", "@query", "content-digest", "x-more")),)
    values = {"@method": "PUT", "@authority": "wallet.example", "@path": "/p", "@query": "?", "x-more": "a, b"}
    values["content-digest"] = content_digest(BODY)
    params = f'({" ".join(map(str, covered))});created={NOW};nonce="{new_nonce()}";keyid="ewk_new";alg="hmac-sha256"'
    signature = base64.b64encode(NEW.sign(signature_base(covered, params, lambda part: values[part.name]))).decode()
    fields = [("Content-Digest", values["content-digest"]), ("X-More", " a"), ("Signature-Input", f"s={params}")]
    request = replace(PLAIN, target="/p", headers=(*fields, ("x-more", "b\t"), ("Signature", f"s=:{signature}:")))
    assert verify(request).label == "s"
    with pytest.raises(errors.SignatureMismatchError):
        verify(replace(request, headers=[("x-more", "c"), *request.headers]))
    with pytest.raises(errors.ComponentsNotCoveredError):
        verify(replace(request, headers=[field for field in request.headers if field[0].lower() != "x-more"]))
