"""Access tokens for tests: genuine ones, and any forgery that a header, a payload and a key can make."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from shared import typeids
from shared.access.jwt import AccessToken, sign

ISSUER = "http://credentials.test"


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Issuer:
    """A signing key and its id."""

    key_id: UUID = field(default_factory=typeids.new_id)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", private=True))

    @property
    def kid(self) -> str:
        """Return the id as tokens name it."""
        return typeids.encode("sig", self.key_id)

    @property
    def jwk(self) -> dict[str, Any]:
        """Return the published key."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}

    def token(self, **changed: Any) -> AccessToken:
        """Return a token that is good now."""
        now = int(time.time())
        fields: dict[str, Any] = {
            "token_id": typeids.new_id(),
            "signing_key_id": self.key_id,
            "key_id": typeids.new_id(),
            "key_version": 1,
            "tenant_id": typeids.new_id(),
            "environment": "live",
            "kind": "secret",
            "scopes": frozenset({"events:read", "events:publish"}),
            "issued_at": now,
            "expires_at": now + 300,
            "sequence": 0,
            "is_address_bound": False,
        }
        return AccessToken(**{**fields, **changed})

    def text(self, token: AccessToken | None = None, *, issuer: str = ISSUER) -> str:
        """Return a token's text."""
        return sign(token or self.token(), key=self.key, issuer=issuer)


def claims_of(text: str) -> dict[str, Any]:
    """Return what a token's payload says."""
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    return claims


def header_of(text: str) -> dict[str, Any]:
    """Return what a token's header says."""
    header: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(text.partition(".")[0] + "=="))
    return header


def es256(header: dict[str, Any], claims: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """Return a JWS with any header, signed with an elliptic curve key of any curve as ES256 says."""
    signed = f"{encoded(orjson.dumps(header))}.{encoded(orjson.dumps(claims))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    size = (key.key_size + 7) // 8
    return f"{signed}.{encoded(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}"


def hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Return a JWS signed with a shared secret."""
    signed = f"{encoded(orjson.dumps(header))}.{encoded(orjson.dumps(claims))}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def forgeries(genuine: str, *, signing_key: ECKey) -> dict[str, str]:
    """Return what nobody may accept, by name, each as near to ``genuine`` as it gets; ``signing_key`` is the real private key.

    Where the fault is in what is signed, the signature is right: only the check of that one thing refuses it.
    """
    return {**_of_the_signature(genuine, signing_key), **_of_the_claims(genuine, signing_key)}


def _of_the_signature(genuine: str, signing_key: ECKey) -> dict[str, str]:
    header, claims, real = _taken_apart(genuine, signing_key)
    other = ec.generate_private_key(ec.SECP256R1())
    other_jwk = ECKey.import_key(other).as_dict(private=False)
    public_pem, public_jwk = signing_key.as_pem(private=False), orjson.dumps(signing_key.as_dict(private=False))
    point = signing_key.public_key.public_numbers()
    raw_point = b"\4" + point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    encoded_header, payload, signature = genuine.split(".")
    wider = encoded(orjson.dumps({**claims, "scope": "transfers:create"}))

    def signed(header_changes: dict[str, Any]) -> str:
        return es256({**header, **header_changes}, claims, real)

    return {
        "alg none": f"{encoded(orjson.dumps({**header, 'alg': 'none'}))}.{payload}.",
        "alg None, kept signature": f"{encoded(orjson.dumps({**header, 'alg': 'None'}))}.{payload}.{signature}",
        "HS256 with the public PEM": hs256({**header, "alg": "HS256"}, claims, public_pem),
        "HS256 with the public JWK": hs256({**header, "alg": "HS256"}, claims, public_jwk),
        "HS256 with the public point": hs256({**header, "alg": "HS256"}, claims, raw_point),
        "HMAC that says ES256": hs256(header, claims, public_pem),
        "another key of the curve": es256(header, claims, other),
        "wrong curve P-384": es256(header, claims, ec.generate_private_key(ec.SECP384R1())),
        "wrong curve secp256k1": es256(header, claims, ec.generate_private_key(ec.SECP256K1())),
        "alg ES384": es256({**header, "alg": "ES384"}, claims, ec.generate_private_key(ec.SECP384R1())),
        "zero signature": f"{genuine.rpartition('.')[0]}.{encoded(bytes(64))}",
        "no signature": genuine.rpartition(".")[0] + ".",
        "two parts": genuine.rpartition(".")[0],
        "five parts": genuine + ".e30.e30",
        "changed payload": f"{encoded_header}.{wider}.{signature}",
        **{f"kid {kid!r}": es256({**header, "kid": kid}, claims, other) for kid in HOSTILE_KEY_IDS},
        "kid of nobody": es256({**header, "kid": typeids.encode("sig", typeids.new_id())}, claims, other),
        "kid is a list": es256({**header, "kid": [header["kid"]]}, claims, other),
        "no kid": es256({"alg": "ES256", "typ": "at+jwt"}, claims, real),
        "jku": es256({**header, "jku": "http://127.0.0.1:9/jwks.json"}, claims, other),
        "jku, right signature": signed({"jku": "http://127.0.0.1:9/jwks.json"}),
        "x5u, right signature": signed({"x5u": "http://127.0.0.1:9/chain.pem"}),
        "jwk": es256({**header, "jwk": other_jwk}, claims, other),
        "jwk, right signature": signed({"jwk": other_jwk}),
        "x5c, right signature": signed({"x5c": ["MIIB"]}),
        "crit, right signature": signed({"crit": ["exp"]}),
        "b64 false": signed({"b64": False, "crit": ["b64"]}),
        "typ JWT": signed({"typ": "JWT"}),
        "typ missing": es256({"alg": "ES256", "kid": header["kid"]}, claims, real),
        "encrypted": ".".join([encoded(orjson.dumps({"alg": "ECDH-ES", "enc": "A256GCM"})), "", "e30", "e30", "e30"]),
    }


def _of_the_claims(genuine: str, signing_key: ECKey) -> dict[str, str]:
    header, claims, real = _taken_apart(genuine, signing_key)
    now = int(time.time())

    def signed(**changes: Any) -> str:
        return es256(header, {**claims, **changes}, real)

    def without(name: str) -> str:
        return es256(header, {other: value for other, value in claims.items() if other != name}, real)

    return {
        "aud of another": signed(aud="somebody-else"),
        "aud list": signed(aud=["causeway", "somebody-else"]),
        "aud missing": without("aud"),
        "iss of another": signed(iss="https://evil.example"),
        "iss with a slash": signed(iss=claims["iss"] + "/"),
        "iss missing": without("iss"),
        "exp past": signed(iat=now - 400, exp=now - 100),
        "exp too far": signed(exp=now + 3600),
        "exp as text": signed(exp=str(now + 100)),
        "exp as fraction": signed(exp=now + 100.5),
        "exp true": signed(exp=True),
        "exp missing": without("exp"),
        "iat in the future": signed(iat=now + 100, exp=now + 200),
        "iat missing": without("iat"),
        "jti missing": without("jti"),
        "jti of another kind": signed(jti=claims["credential_id"]),
        "sub is not the client": signed(sub=typeids.encode("key", typeids.new_id())),
        "no environment": without("environment"),
        "environment of nobody": signed(environment="production"),
        "kind of nobody": signed(kind="security_token"),
        "tenant as text": signed(tenant_id="anybody"),
        "tenant missing": without("tenant_id"),
        "scope list": signed(scope=["events:read"]),
        "scope missing": without("scope"),
        "payload is a list": f"{encoded(orjson.dumps(header))}.{encoded(b'[]')}.{genuine.rpartition('.')[2]}",
    }


def _taken_apart(genuine: str, signing_key: ECKey) -> tuple[dict[str, Any], dict[str, Any], ec.EllipticCurvePrivateKey]:
    real = signing_key.private_key
    assert real is not None
    return header_of(genuine), claims_of(genuine), real


UNKNOWN_KEY_ID = "sig_00000000000000000000000000"
HOSTILE_KEY_IDS = (
    *("../../../../etc/passwd", "/dev/null", "file:///etc/passwd", "http://127.0.0.1:9/key", "' OR '1'='1"),
    *("sig_' UNION SELECT 'x", UNKNOWN_KEY_ID, "key_01j9zq3s8hf3mbq5w7t2k4v6xy", "sig_", "", "\0"),
)
