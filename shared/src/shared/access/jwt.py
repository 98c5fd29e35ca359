"""Access tokens: JSON Web Tokens as RFC 9068 says (a wire contract), signed with ES256 by credentials and by nobody else.

What a token says about itself never decides how it is judged: the algorithm is fixed, the key is looked up by its id among the
issuer's own, and a header that names or carries another key is refused before any of that. Used by credentials, which issues
and judges tokens, and by its siblings, which judge them by the published keys.
"""

import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from shared import strict_json, typeids
from shared.key_format import Environment, Kind
from shared.principals import Principal

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
AUDIENCE: Final = "causeway"
TOKEN_SECONDS: Final = 300
"""How long a token lives at most."""
LEEWAY_SECONDS: Final = 5
"""By how much the clocks of issuer and judge may differ."""

KEY_ID_PREFIX: Final = "sig"
TOKEN_ID_PREFIX: Final = "tok"  # noqa: S105 - the prefix of ids, no secret
_FORM: Final = re.compile(r"([A-Za-z0-9_-]{1,400})\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}", re.ASCII)
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_KINDS: Final[dict[str, Kind]] = {"secret": "secret", "public": "public", "service": "service"}
_ENVIRONMENTS: Final[dict[str, Environment]] = {"live": "live", "test": "test"}
_NAME: Final = "Access token"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a genuine token says. Whether it was revoked since ``sequence`` of the feed is another question."""

    token_id: UUID
    signing_key_id: UUID
    key_id: UUID
    key_version: int
    """The version of the API key whose text it was given for: it ends with it."""
    tenant_id: UUID | None
    environment: Environment
    kind: Kind
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    sequence: int
    """Where the revocation feed stood when its key was found good."""
    is_address_bound: bool
    """Its key has an address list, which credentials alone knows."""

    @property
    def credential_id(self) -> str:
        """Return the id of the API key, which is also the OAuth client's."""
        return typeids.encode("key", self.key_id)

    @property
    def own_targets(self) -> tuple[UUID, ...]:
        """Return what a revocation may name beside the credential and its tenant: this token, and what signed it."""
        return (self.token_id, self.signing_key_id)

    @property
    def targets(self) -> tuple[UUID | None, ...]:
        """Return everything that a revocation may name to void this token."""
        return (self.key_id, self.tenant_id, *self.own_targets)

    def principal(self) -> Principal:
        """Return who calls with it."""
        return Principal(
            credential_id=self.credential_id,
            kind=self.kind,
            name=_NAME,
            tenant_id=self.tenant_id,
            environment=self.environment,
            scopes=self.scopes,
            expires_at=self.expires_at + LEEWAY_SECONDS,
        )


def sign(token: AccessToken, *, key: ECKey, issuer: str) -> str:
    """Return the token's text."""
    claims = {
        "iss": issuer,
        "sub": token.credential_id,
        "aud": AUDIENCE,
        "exp": token.expires_at,
        "iat": token.issued_at,
        "jti": typeids.encode(TOKEN_ID_PREFIX, token.token_id),
        "client_id": token.credential_id,
        "scope": " ".join(sorted(token.scopes)),
        "credential_id": token.credential_id,
        "key_version": token.key_version,
        "tenant_id": typeids.encode("ten", token.tenant_id) if token.tenant_id else None,
        "environment": token.environment,
        "kind": token.kind,
        "sequence": token.sequence,
        "address_bound": token.is_address_bound,
    }
    kid = typeids.encode(KEY_ID_PREFIX, token.signing_key_id)
    header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": kid}
    return jws.serialize_compact(header, orjson.dumps(claims), key, algorithms=[ALGORITHM])


def signing_key_id(text: str) -> UUID | None:
    """Return which of the issuer's keys a token claims to be signed with; None for what cannot be a token of ours.

    Costs no I/O. The header holds ``alg``, ``typ`` and ``kid`` and nothing else: ``jku``, ``x5u``, ``jwk``, ``crit`` and the
    like have no meaning here.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    try:
        header = strict_json.loads(urlsafe_b64decode(form[1] + "=" * (-len(form[1]) % 4)))
        if not isinstance(header, dict) or header.keys() != _HEADER or header["alg"] != ALGORITHM:
            return None
        return typeids.decode(KEY_ID_PREFIX, header["kid"]) if header["typ"].lower() in _TYPES else None
    except (ValueError, TypeError, AttributeError):
        return None


def read(text: str, *, key: ECKey, key_id: UUID, issuer: str, now: float) -> AccessToken | None:
    """Return a genuine token that is in its time, else None. ``key`` is the issuer's key with this id."""
    try:
        signed = jws.deserialize_compact(text, key, algorithms=[ALGORITHM])
        token = _token_of(strict_json.loads(signed.payload or b""), key_id=key_id, issuer=issuer)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not now - LEEWAY_SECONDS < token.expires_at <= token.issued_at + TOKEN_SECONDS:
        return None
    return token if token.issued_at <= now + LEEWAY_SECONDS else None


def public_key(jwk: dict[str, Any]) -> ECKey:
    """Read a published key; raises ValueError for one that cannot be the issuer's."""
    if (jwk.get("kty"), jwk.get("crv"), jwk.get("alg"), jwk.get("use")) != ("EC", CURVE, ALGORITHM, "sig"):
        raise ValueError("not a key for ES256 signatures")
    try:
        return ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    except (JoseError, KeyError) as exc:
        raise ValueError("not a key") from exc


def _token_of(claims: dict[str, Any], *, key_id: UUID, issuer: str) -> AccessToken:
    """Read the claims; raises ValueError, KeyError or TypeError for any that are not as ``sign`` writes them."""
    if claims["iss"] != issuer or claims["aud"] != AUDIENCE:
        raise ValueError("of another issuer, or for somebody else")
    if not claims["sub"] == claims["client_id"] == claims["credential_id"]:
        raise ValueError("not one subject")
    return AccessToken(
        token_id=typeids.decode(TOKEN_ID_PREFIX, claims["jti"]),
        signing_key_id=key_id,
        key_id=typeids.decode("key", claims["credential_id"]),
        key_version=_whole(claims["key_version"]),
        tenant_id=None if claims["tenant_id"] is None else typeids.decode("ten", claims["tenant_id"]),
        environment=_ENVIRONMENTS[claims["environment"]],
        kind=_KINDS[claims["kind"]],
        scopes=frozenset(claims["scope"].split()),
        issued_at=_whole(claims["iat"]),
        expires_at=_whole(claims["exp"]),
        sequence=_whole(claims["sequence"]),
        is_address_bound=claims["address_bound"] is not False,
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value
