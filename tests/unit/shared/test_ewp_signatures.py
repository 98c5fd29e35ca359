"""Signatures of ewp/1: what is signed holds, and nothing else does."""

import base64
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ewp import signature_errors as errors
from shared.ewp.nonces import NonceMemory
from shared.ewp.signature_fields import Component, content_digest, read_any_signatures, read_signatures
from shared.ewp.signatures import (
    Request,
    Verified,
    new_nonce,
    normal_authority,
    sign_request,
    sign_response,
    signature_base,
    verify_request,
    verify_response,
)
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey, SigningKey, VerifyingKey

NOW = 1_800_000_000
NEW = HmacKey.of_text("ewk_new", "the new key, wholly made up")
OLD = HmacKey.of_text("ewk_old", "the old key, wholly made up")
SEED = base64.b64encode(bytes(range(32))).decode()
PRIVATE = Ed25519SigningKey.of_base64("ewk_ed", SEED)
PUBLIC = Ed25519VerifyingKey("ewk_ed", PRIVATE.private_key.public_key())
BODY = b'{"op":"debit","amount":"10.50"}'
PLAIN = Request(
    method="PUT", scheme="https", authority="wallet.example", target="/base/v1/transfers/tr_1.a.1?x=1", body=BODY
)

PARAMS = f';created={NOW};nonce="n";keyid="ewk_new";alg="hmac-sha256"'

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


def signed(request: Request = PLAIN, *keys: SigningKey, created: int = NOW, nonce: str | None = None) -> Request:
    """Return the request with its signatures."""
    headers = sign_request(keys or (NEW,), request, created=created, nonce=nonce)
    return replace(request, headers=tuple(headers.items()))


def verify(request: Request, *keys: VerifyingKey, now: float = NOW, nonces: NonceMemory | None = None) -> Verified:
    """Verify under these keys."""
    return verify_request(request, keys={key.key_id: key for key in keys or (NEW,)}, now=now, nonces=nonces)


def with_header(request: Request, name: str, change: Callable[[str], str | None]) -> Request:
    """Return the request with one field changed, or without it."""
    fields = [(key, change(value) if key == name else value) for key, value in request.headers]
    return replace(request, headers=tuple((key, value) for key, value in fields if value is not None))


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


@pytest.mark.parametrize(
    ("signature_input", "signature", "error"),
    [
        (None, None, errors.SignatureMissingError),
        ("{}", None, errors.SignatureMalformedError),
        (None, "{}", errors.SignatureMalformedError),
        ("nonsense(", "{}", errors.SignatureMalformedError),
        ("{}", "sig1=text", errors.SignatureMalformedError),
        ("{}", 'sig1="dGV4dA=="', errors.SignatureMalformedError),
        ("{}", "sig2=:dGV4dA==:", errors.SignatureMalformedError),
        ("{}, {}", "{}", errors.SignatureMalformedError),
        ("sig1=1", "{}", errors.SignatureMalformedError),
        ("", "", errors.SignatureMalformedError),
        ("x" * 9000, "{}", errors.SignatureMalformedError),
        (f'sig1=("@method" "@method"){PARAMS}', "{}", errors.SignatureMalformedError),
        (f'sig1=("@METHOD"){PARAMS}', "{}", errors.SignatureMalformedError),
        (f"sig1=(@method){PARAMS}", "{}", errors.SignatureMalformedError),
        (f'sig1=("@method";sf){PARAMS}', "{}", errors.SignatureMalformedError),
        (f'sig1=("@method";req=1){PARAMS}', "{}", errors.SignatureMalformedError),
        (f'sig1=("@signature-params"){PARAMS}', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid=ewk_new', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid="ewk_new";created="1"', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid="ewk_new";created=1.5', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid="ewk_new";created', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid="ewk_new";keyid="ewk_new"', "{}", errors.SignatureMalformedError),
        ('sig1=("@method");keyid="ewk_new"', "{}", errors.SignatureMalformedError),
        (
            f'sig1=("@method");keyid="ewk_new";created={NOW};nonce="";alg="hmac-sha256"',
            "{}",
            errors.SignatureMalformedError,
        ),
        (f'sig1=("@method");keyid="ewk_new";created={NOW};nonce="n"', "{}", errors.SignatureMalformedError),
        (
            f'sig1=("@method");keyid="ewk_new";created={NOW};nonce="{"n" * 257}";alg="hmac-sha256"',
            "{}",
            errors.SignatureMalformedError,
        ),
        (f'sig1=("@method"){PARAMS}', "{}", errors.ComponentsNotCoveredError),
        (
            f'sig1=("@method");keyid="ewk_new";created={NOW};nonce="n";alg="ed25519"',
            "{}",
            errors.SignatureMismatchError,
        ),
        ('sig1=("@method");keyid="ewk_other"', "{}", errors.UnknownKeyError),
        ('sig1=("@method")', "{}", errors.UnknownKeyError),
        (
            ", ".join(f"s{n}=()" for n in range(9)),
            ", ".join(f"s{n}=:eA==:" for n in range(9)),
            errors.SignatureMalformedError,
        ),
    ],
)
def test_malformed_signatures_are_told_apart(
    signature_input: str | None, signature: str | None, error: type[errors.SignatureRefusedError]
) -> None:
    """Each fault has its name; nothing that two readers could take differently is read at all."""
    request = signed()
    for name, text in (("signature-input", signature_input), ("signature", signature)):
        request = with_header(request, name, lambda old, text=text: None if text is None else text.replace("{}", old))  # type: ignore[misc] # bound at once
    with pytest.raises(errors.SignatureRefusedError) as refused:
        verify(request)
    assert type(refused.value) is error


pieces = st.sampled_from(
    [
        *(
            "sig1=",
            "sig2=",
            '("@method")',
            '("@method" "signature";req)',
            '("@method"  "@path")',
            '("@signature-params")',
            "()",
        ),
        *(
            ";created=1800000000",
            ";created=-1",
            ";created=01",
            ";created=1.0",
            ";expires=5",
            ';keyid="a"',
            ';keyid="a,b"',
        ),
        *(';keyid="a;b"', ';keyid="a\\"b"', ";keyid=a", ';alg="x"', ';nonce="n"', ';nonce=""', ";nonce", ';tag="t"'),
        *("; created=1", ", ", ",", " "),
    ]
)
values = st.sampled_from([":eA==:", ":eB==:", ":eHg=:", ":eHh4:", "::", ":e:", ":eA=:", '"x"', "x"])


@given(
    st.lists(pieces, max_size=12).map("".join),
    st.lists(st.tuples(st.sampled_from(["sig1", "sig2"]), values), max_size=3),
)
def test_the_quick_reader_says_what_the_parser_says(signature_input: str, signatures: list[tuple[str, str]]) -> None:
    """Whatever the patterns take, the parser of structured fields takes too, and reads the same."""
    signature = ", ".join(f"{label}={value}" for label, value in signatures)
    for text in (signature_input, f'sig1=("@method"){signature_input.replace("sig", "x")}'):
        try:
            wanted = read_any_signatures(signature_input=text, signature=signature)
        except errors.SignatureMalformedError:
            wanted = None
        try:
            assert read_signatures(signature_input=text, signature=signature) == wanted
        except errors.SignatureMalformedError:
            assert wanted is None


def test_what_signers_write_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own requests, also with two signatures, and answers never come to the parser."""

    def parser(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("shared.ewp.signature_fields.http_sf.parse", parser)
    request = signed(PLAIN, NEW, PRIVATE)
    assert verify(request, PUBLIC).key_id == "ewk_ed"
    assert verify_answer(answered(request)).key_id == "ewk_new"


@pytest.mark.parametrize(
    ("digest", "error"),
    [
        (None, errors.ComponentsNotCoveredError),
        ("sha-512=:eA==:", errors.SignatureMalformedError),
        ("sha-256=eA", errors.SignatureMalformedError),
        ("sha-256=:eA==:", errors.DigestMismatchError),
        ("nonsense(", errors.SignatureMalformedError),
    ],
)
def test_a_body_needs_its_digest(digest: str | None, error: type[errors.SignatureRefusedError]) -> None:
    """Present, sha-256, and of this body."""
    with pytest.raises(errors.SignatureRefusedError) as refused:
        verify(with_header(signed(), "content-digest", lambda _: digest))
    assert type(refused.value) is error


def test_a_body_that_nobody_signed_is_refused() -> None:
    """A request signed without a body proves nothing of one that was added."""
    with pytest.raises(errors.ComponentsNotCoveredError):
        verify(replace(signed(replace(PLAIN, body=b"")), body=BODY))


def test_a_signature_can_carry_only_plain_text() -> None:
    """A key id or nonce that needs escaping is refused where it is signed; so is a request without keys."""
    for key_id in ("", 'a"b', "a\\b", "\u00e4", "a\n", "x" * 257):
        with pytest.raises(ValueError, match="printable ASCII"):
            sign_request([HmacKey(key_id, b"x")], PLAIN, created=NOW)
    with pytest.raises(ValueError, match="at least one key"):
        sign_request([], PLAIN, created=NOW)


def answered(request: Request, *, status: int = 200, body: bytes = b"{}", key: SigningKey = NEW) -> dict[str, Any]:
    """Return what verify_response wants of an answer to ``request``."""
    signature = dict(request.headers)["signature"]
    headers = sign_response(key, status=status, body=body, request_signature=signature, created=NOW)
    return {"status": status, "body": body, "headers": tuple(headers.items()), "request_signature": signature}


def verify_answer(answer: dict[str, Any], *keys: VerifyingKey, now: float = NOW) -> Verified:
    """Verify under these keys."""
    return verify_response(**answer, keys={key.key_id: key for key in keys or (NEW,)}, now=now)


@given(st.integers(200, 599), st.binary(max_size=100), st.sampled_from([NEW, PRIVATE]))
def test_an_answer_holds_for_its_request(status: int, body: bytes, key: SigningKey) -> None:
    """Any status and body, also an empty one."""
    answer = answered(signed(PLAIN, key), status=status, body=body, key=key)
    assert verify_answer(answer, NEW, PUBLIC).key_id == key.key_id


def test_the_answers_fields_are_exactly_these() -> None:
    """``"signature";req`` is written as the standard serialises it."""
    answer = dict(answered(signed())["headers"])
    start = f'sig1=("@status" "content-digest" "signature";req);created={NOW};keyid="ewk_new";alg="hmac-sha256"'
    assert answer["signature-input"] == start


def test_an_answer_is_bound_to_its_request() -> None:
    """Replayed for another request, with another status, body or key, it proves nothing."""
    request = signed()
    answer = answered(request)
    another = dict(signed().headers)["signature"]
    with pytest.raises(errors.SignatureMismatchError):
        verify_answer({**answer, "request_signature": another})
    with pytest.raises(errors.SignatureMismatchError):
        verify_answer({**answer, "status": 201})
    with pytest.raises(errors.DigestMismatchError):
        verify_answer({**answer, "body": b'{"state":"committed"}'})
    with pytest.raises(errors.UnknownKeyError):
        verify_answer(answer, OLD)
    with pytest.raises(errors.SignatureTimeError):
        verify_answer(answer, now=NOW + 301)
    with pytest.raises(errors.SignatureMissingError):
        verify_answer({**answer, "headers": ()})
    with pytest.raises(errors.SignatureMalformedError):
        verify_answer({**answer, "headers": [field for field in answer["headers"] if field[0] != "signature"]})


def test_our_own_request_is_no_answer() -> None:
    """The fields of a request, sent back by something that mirrors, do not cover what an answer must."""
    request = signed()
    mirrored = {
        "status": 200,
        "body": BODY,
        "headers": request.headers,
        "request_signature": dict(request.headers)["signature"],
    }
    with pytest.raises(errors.ComponentsNotCoveredError):
        verify_answer(mirrored)


def test_no_secret_shows() -> None:
    """Not in a repr, not in what is said of a key that is none."""
    assert "made up" not in repr(NEW)
    assert "PrivateKey" not in repr(PRIVATE)
    for text in ("a secret", base64.b64encode(b"a secret").decode()):
        with pytest.raises(ValueError, match="32 bytes") as refused:
            Ed25519SigningKey.of_base64("k", text)
        assert text not in str(refused.value)
