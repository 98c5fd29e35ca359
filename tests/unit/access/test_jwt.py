"""Which texts are access tokens of ours: pure, and every forgery of the trap list by name."""

import pytest
from joserfc.jwk import ECKey

from shared.access import jwt
from shared.access.jwt import LEEWAY_SECONDS, TOKEN_SECONDS, AccessToken
from support.access_tokens import ISSUER, Issuer, claims_of, es256, forgeries, header_of

TRUSTED = Issuer()
GENUINE = TRUSTED.text()
FORGERIES = forgeries(GENUINE, signing_key=TRUSTED.key)


def read(text: str, *, now: float | None = None) -> AccessToken | None:
    """Read a token as every judge does: the key by its id among the issuer's own."""
    key_id = jwt.signing_key_id(text)
    if key_id != TRUSTED.key_id:
        return None
    at = claims_of(GENUINE)["iat"] if now is None else now
    return jwt.read(text, key=TRUSTED.key, key_id=key_id, issuer=ISSUER, now=at)


def test_a_genuine_token_says_what_was_signed() -> None:
    """All of it, and nothing else."""
    token = TRUSTED.token(tenant_id=None, environment="test", kind="service", sequence=7, is_address_bound=True)
    assert read(TRUSTED.text(token), now=token.issued_at) == token


def test_the_form_is_that_of_rfc_9068() -> None:
    """The header names type, algorithm and key; the payload all claims that the RFC requires."""
    assert header_of(GENUINE) == {"alg": "ES256", "typ": "at+jwt", "kid": TRUSTED.kid}
    assert claims_of(GENUINE).keys() >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"}


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_is_read(name: str) -> None:
    """Whatever the token says of itself, the algorithm, the key and the claims are the ones expected."""
    assert read(FORGERIES[name]) is None


def test_the_one_other_spelling_of_the_type_is_read() -> None:
    """RFC 9068 §4 allows the full media type, in any case."""
    private = TRUSTED.key.private_key
    assert private is not None
    header = {**header_of(GENUINE), "typ": "application/AT+JWT"}
    assert read(es256(header, claims_of(GENUINE), private)) is not None


def test_a_token_is_good_from_its_issue_to_its_end_by_clocks_that_differ_a_little() -> None:
    """The leeway is the whole tolerance, on both sides, to the second."""
    token = TRUSTED.token()
    text = TRUSTED.text(token)
    assert read(text, now=token.expires_at + LEEWAY_SECONDS - 0.01) == token
    assert read(text, now=token.expires_at + LEEWAY_SECONDS) is None
    assert read(text, now=token.issued_at - LEEWAY_SECONDS) == token
    assert read(text, now=token.issued_at - LEEWAY_SECONDS - 0.01) is None
    assert token.principal().expires_at == token.expires_at + LEEWAY_SECONDS


def test_no_token_lives_longer_than_five_minutes() -> None:
    """Not even one that we signed."""
    assert TOKEN_SECONDS == 300
    token = TRUSTED.token()
    longer = TRUSTED.token(issued_at=token.issued_at, expires_at=token.issued_at + TOKEN_SECONDS + 1)
    assert read(TRUSTED.text(longer), now=token.issued_at) is None


@pytest.mark.parametrize(
    "change", [{"kty": "oct"}, {"crv": "P-384"}, {"alg": "HS256"}, {"use": "enc"}, {"x": "AA"}, {"y": None}]
)
def test_a_published_key_of_another_sort_is_none(change: dict[str, object]) -> None:
    """Only P-256 for ES256 signatures."""
    assert isinstance(jwt.public_key(TRUSTED.jwk), ECKey)
    with pytest.raises(ValueError, match=r"(?i)key"):
        jwt.public_key({**TRUSTED.jwk, **change})
