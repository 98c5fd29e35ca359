"""Signatures of ``ewp/1``: RFC 9421 over what a message does, RFC 9530 over what it says. Used by both sides.

A request is signed over ``@method @authority @path @query`` and, with a body, ``content-digest``, with ``created``, ``nonce``,
``keyid`` and ``alg``. During a rotation it carries one signature for each key, all with the same nonce: so a replay that
keeps only one of them is still known. A response may be signed over ``@status``, ``content-digest`` and ``"signature";req``, the
request's ``Signature`` field as it was sent: so an answer to another request is not believed.

Errors: ``signature_errors.py``. Text that is quoted in them never comes from a key.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.ewp.nonces import NonceMemory
from shared.ewp.signature_errors import (
    ComponentsNotCoveredError,
    SignatureMalformedError,
    SignatureMismatchError,
    SignatureMissingError,
    SignatureRefusedError,
    SignatureTimeError,
    UnknownKeyError,
)
from shared.ewp.signature_fields import (
    Component,
    FieldLines,
    OfferedSignature,
    byte_sequence,
    check_content_digest,
    combined,
    content_digest,
    read_signatures,
    signature_params,
)
from shared.ewp.signing_keys import SigningKey, VerifyingKey

TOLERANCE_SECONDS: Final = 300
NONCE_BYTES: Final = 18
NONCE_CHARS_MAX: Final = 256

_DIGEST: Final = Component("content-digest")
_REQUEST: Final[tuple[Component, ...]] = (
    Component("@method"),
    Component("@authority"),
    Component("@path"),
    Component("@query"),
)
_REQUEST_WITH_BODY: Final = (*_REQUEST, _DIGEST)
_RESPONSE: Final = (Component("@status"), _DIGEST, Component("signature", from_request=True))
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is signed of a request. ``target`` is path and query as they stand in the request line.

    ``authority`` is the ``Host`` field; ``headers`` are needed for verifying only. An absent body is an empty one.
    """

    method: str
    scheme: str
    authority: str
    target: str
    body: bytes = b""
    headers: FieldLines = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A signature that was believed. ``created`` is in unix seconds."""

    key_id: str
    label: str
    created: int | None
    nonce: str | None


def new_nonce() -> str:
    """Return 144 random bits as text."""
    return secrets.token_urlsafe(NONCE_BYTES)


def sign_request(
    keys: Sequence[SigningKey], request: Request, *, created: int, nonce: str | None = None
) -> dict[str, str]:
    """Return the fields to add to ``request``: one signature for each key, labelled ``sig1``, ``sig2``, … in order.

    ``created`` is in unix seconds; ``nonce`` is made when none is given, and never used for two requests. Raises ValueError
    without keys, and for text that a signature cannot carry.
    """
    if not keys:
        raise ValueError("a request is signed with at least one key")
    covered = _REQUEST_WITH_BODY if request.body else _REQUEST
    headers = {"content-digest": content_digest(request.body)} if request.body else {}
    value_of = _request_values(request, headers.get)
    nonce = nonce or new_nonce()
    inputs, signatures = [], []
    for number, key in enumerate(keys, start=1):
        params = signature_params(covered, created=created, nonce=nonce, keyid=key.key_id, alg=key.algorithm)
        inputs.append(f"sig{number}={params}")
        signatures.append(f"sig{number}={byte_sequence(key.sign(signature_base(covered, params, value_of)))}")
    headers["signature-input"] = ", ".join(inputs)
    headers["signature"] = ", ".join(signatures)
    return headers


def verify_request(
    request: Request,
    *,
    keys: Mapping[str, VerifyingKey],
    now: float,
    nonces: NonceMemory | None,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Verified:
    """Return the first signature of ``request`` under one of ``keys`` (by key id) that holds; raises SignatureRefusedError.

    ``now`` is in unix seconds. Without ``nonces`` the caller has to see to it that ``nonce`` is used once.
    """
    fields = [(name.lower(), value) for name, value in request.headers]
    offered = _offered(fields)
    value_of = _request_values(request, lambda name: combined(fields, name))
    demanded = _REQUEST_WITH_BODY if request.body else _REQUEST

    def judge(signature: OfferedSignature) -> None:
        if signature.created is None or not signature.nonce or signature.algorithm is None:
            raise SignatureMalformedError("a request's signature has created, nonce, keyid and alg")
        if len(signature.nonce) > NONCE_CHARS_MAX:
            raise SignatureMalformedError(f"a nonce has at most {NONCE_CHARS_MAX} characters")
        _check_time(signature, now=now, tolerance_seconds=tolerance_seconds)
        _check_cover(signature, demanded, body=request.body, digest=value_of(_DIGEST))

    verified = _first_that_holds(offered, keys, judge, value_of)
    if nonces is not None:
        assert verified.created is not None  # judged above
        assert verified.nonce is not None
        # Only now: an unproved request must not use up the nonce of a proved one.
        nonces.remember(verified.nonce, until=verified.created + tolerance_seconds, now=int(now))
    return verified


def sign_response(key: SigningKey, *, status: int, body: bytes, request_signature: str, created: int) -> dict[str, str]:
    """Return the fields to add to a response. ``request_signature`` is the request's ``Signature`` field, ``key`` a key of it."""
    headers = {"content-digest": content_digest(body)}
    params = signature_params(_RESPONSE, created=created, keyid=key.key_id, alg=key.algorithm)
    value_of = _response_values(status, request_signature, headers.get)
    headers["signature-input"] = f"sig1={params}"
    headers["signature"] = f"sig1={byte_sequence(key.sign(signature_base(_RESPONSE, params, value_of)))}"
    return headers


def verify_response(
    *,
    status: int,
    body: bytes,
    headers: FieldLines,
    request_signature: str,
    keys: Mapping[str, VerifyingKey],
    now: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Verified:
    """Return the first signature of a response that holds, bound to the request whose ``Signature`` field is given.

    ``keys`` are those that the request was signed with. Raises SignatureRefusedError; SignatureMissingError only when
    there is no trace of a signature.
    """
    fields = [(name.lower(), value) for name, value in headers]
    offered = _offered(fields)
    value_of = _response_values(status, request_signature, lambda name: combined(fields, name))

    def judge(signature: OfferedSignature) -> None:
        if signature.created is not None:
            _check_time(signature, now=now, tolerance_seconds=tolerance_seconds)
        _check_cover(signature, _RESPONSE, body=body, digest=value_of(_DIGEST))

    return _first_that_holds(offered, keys, judge, value_of)


def normal_authority(authority: str, scheme: str) -> str:
    """Return ``@authority`` (RFC 9421 §2.2.3): lower case, without the scheme's default port."""
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme.lower(), ""))


_ValueOf = Callable[[Component], str | None]


def _request_values(request: Request, header: Callable[[str], str | None]) -> _ValueOf:
    path, _, query = request.target.partition("?")
    derived = {
        "@method": request.method,
        "@authority": normal_authority(request.authority, request.scheme),
        "@path": path or "/",
        "@query": f"?{query}",
    }

    def value_of(component: Component) -> str | None:
        if component.from_request:
            return None
        return derived.get(component.name) if component.name.startswith("@") else header(component.name)

    return value_of


def _response_values(status: int, request_signature: str, header: Callable[[str], str | None]) -> _ValueOf:
    def value_of(component: Component) -> str | None:
        if component.from_request:
            return request_signature if component.name == "signature" else None
        if component.name.startswith("@"):
            return str(status) if component.name == "@status" else None
        return header(component.name)

    return value_of


def signature_base(components: Sequence[Component], params: str, value_of: _ValueOf) -> bytes:
    """Return the signature base (RFC 9421 §2.5); raises ComponentsNotCoveredError for a component that the message lacks."""
    lines = []
    for component in components:
        value = value_of(component)
        if value is None:
            raise ComponentsNotCoveredError(f"the message has no {component}")
        lines.append(f"{component}: {value}\n")
    lines.append(f'"@signature-params": {params}')
    text = "".join(lines)
    if not text.isascii() or text.count("\n") != len(components):
        raise SignatureMalformedError("a covered value is not one line of ASCII")
    return text.encode("ascii")


def _offered(fields: Sequence[tuple[str, str]]) -> list[OfferedSignature]:
    signature_input, signature = combined(fields, "signature-input"), combined(fields, "signature")
    if signature_input is None and signature is None:
        raise SignatureMissingError("the message is not signed")
    if signature_input is None or signature is None:
        raise SignatureMalformedError("Signature-Input and Signature come together")
    return read_signatures(signature_input=signature_input, signature=signature)


def _first_that_holds(
    offered: Sequence[OfferedSignature],
    keys: Mapping[str, VerifyingKey],
    judge: Callable[[OfferedSignature], None],
    value_of: _ValueOf,
) -> Verified:
    refused: SignatureRefusedError | None = None
    for signature in offered:
        key = keys.get(signature.key_id or "")
        if key is None:
            continue
        try:
            if signature.algorithm not in {None, key.algorithm}:
                raise SignatureMismatchError("the key is one of another algorithm")
            judge(signature)
            if not key.verifies(
                signature.signature, signature_base(signature.components, signature.params_text, value_of)
            ):
                raise SignatureMismatchError("the signature does not fit the message")
        except SignatureRefusedError as error:
            refused = refused or error
            continue
        return Verified(key_id=key.key_id, label=signature.label, created=signature.created, nonce=signature.nonce)
    raise refused or UnknownKeyError("no signature names a key that is known here")


def _check_time(signature: OfferedSignature, *, now: float, tolerance_seconds: int) -> None:
    assert signature.created is not None  # the callers' condition
    skew = signature.created - now
    if abs(skew) > tolerance_seconds or (signature.expires is not None and signature.expires < now):
        raise SignatureTimeError(skew_seconds=skew, tolerance_seconds=tolerance_seconds)


def _check_cover(
    signature: OfferedSignature, demanded: Sequence[Component], *, body: bytes, digest: str | None
) -> None:
    missing = [str(component) for component in demanded if component not in signature.components]
    if missing:
        raise ComponentsNotCoveredError(f"not signed: {' '.join(missing)}")
    if _DIGEST in signature.components:
        if digest is None:
            raise ComponentsNotCoveredError("the message has no content-digest")
        check_content_digest(digest, body)
