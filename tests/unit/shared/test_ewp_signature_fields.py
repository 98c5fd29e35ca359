"""How signatures of ewp/1 are written: strictly, and each fault has its name."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp import signature_errors as errors
from shared.ewp.signature_fields import read_any_signatures, read_signatures
from shared.ewp.signatures import (
    sign_request,
)
from shared.ewp.signing_keys import HmacKey
from support.ewp_signing import (
    BODY,
    NEW,
    NOW,
    PLAIN,
    PRIVATE,
    PUBLIC,
    answered,
    signed,
    verify,
    verify_answer,
    with_header,
)

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

PARAMS = f';created={NOW};nonce="n";keyid="ewk_new";alg="hmac-sha256"'


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
        ("{}, {}", "{}, {}", errors.SignatureMalformedError),
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


@NO_DEADLINE
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
