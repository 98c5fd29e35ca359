"""The fields of a signed message (RFC 9421 §4, RFC 9530), read strictly and written. Used by ``signatures.py``.

Whatever two readers could take differently is refused: duplicate labels, parameters and components, and values of other types.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import http_sf

from shared.ewp.signature_errors import DigestMismatchError, SignatureMalformedError

FieldLines = Iterable[tuple[str, str]]
"""Header fields as they were received, in order; names in any case, several lines of one name allowed."""

SIGNATURES_MAX: Final = 8
FIELD_CHARS_MAX: Final = 8192
_PLAIN: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,256}", re.ASCII)

# What signers of this protocol write, and no more: only the parameters that are known here, each of its type, in texts neither
# escapes nor anything that separates.
_TEXT: Final = r'"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,256}"'
_NAMED: Final = r'"(?!@signature-params")@?[a-z0-9-]+"(?:;req)?'
_ONE_PARAM: Final = rf";(?:(?:created|expires)=[1-9][0-9]{{0,14}}|(?:keyid|alg|nonce)={_TEXT})"
_MEMBER: Final = re.compile(
    rf"(?P<label>[a-z][a-z0-9_-]*)=\((?P<components>{_NAMED}(?: {_NAMED})*)\)(?P<params>(?:{_ONE_PARAM})+)", re.ASCII
)
_COMPONENT: Final = re.compile(r'"([^"]+)"(;req)?')
_PARAM: Final = re.compile(r";([a-z]+)=([^;]+)")
_SIGNATURE: Final = re.compile(
    r"(?P<label>[a-z][a-z0-9_-]*)=:"
    r"(?P<value>(?:[A-Za-z0-9+/]{4})+|(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)):",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Component:
    """A covered component: its name, and whether it is taken from the request that a response answers (``;req``)."""

    name: str
    from_request: bool = False

    def __str__(self) -> str:
        return f'"{self.name}";req' if self.from_request else f'"{self.name}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedSignature:
    """One signature of a message, not yet judged. ``params_text`` is the value of ``@signature-params``."""

    label: str
    components: tuple[Component, ...]
    params_text: str
    key_id: str | None
    algorithm: str | None
    created: int | None
    expires: int | None
    nonce: str | None
    signature: bytes


def combined(fields: FieldLines, name: str) -> str | None:
    """Return a field's value as RFC 9421 §2.1 takes it: its lines trimmed and joined by ", "; None when there is no line."""
    lines = [value.strip(" \t") for key, value in fields if key.lower() == name]
    return ", ".join(lines) if lines else None


def content_digest(body: bytes) -> str:
    """Return the ``Content-Digest`` of a body, ``sha-256=:…:``."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def check_content_digest(value: str, body: bytes) -> None:
    """Return when ``value`` holds the sha-256 of ``body``; other digests beside it are not looked at.

    Raises SignatureMalformedError or DigestMismatchError.
    """
    if value.isascii() and hmac.compare_digest(value, content_digest(body)):
        return  # as nearly everybody writes it
    member = _dictionary(value, name="Content-Digest").get("sha-256")
    if not isinstance(member, tuple) or not isinstance(member[0], bytes):
        raise SignatureMalformedError("Content-Digest has no sha-256")
    if not hmac.compare_digest(member[0], hashlib.sha256(body).digest()):
        raise DigestMismatchError("the body is not the one that was signed")


def signature_params(components: Sequence[Component], **params: str | int) -> str:
    """Return the value of ``@signature-params``; raises ValueError for text that would need escaping."""
    written = [f"({' '.join(map(str, components))})"]
    for name, value in params.items():
        if isinstance(value, int):
            written.append(f"{name}={value}")
        elif _PLAIN.fullmatch(value):
            written.append(f'{name}="{value}"')
        else:
            raise ValueError(f"{name} is 1 to 256 printable ASCII characters without quotes and backslashes")
    return ";".join(written)


def byte_sequence(value: bytes) -> str:
    """Return bytes as a structured field writes them, ``:base64:``."""
    return f":{base64.b64encode(value).decode()}:"


def read_signatures(*, signature_input: str, signature: str) -> list[OfferedSignature]:
    """Return every signature of a message in order; raises SignatureMalformedError, also for a signature without its input.

    Fields that are written as RFC 9651 serialises them, which is how signers write them, are read by patterns, in a quarter of
    the time; every other text goes to the parser. Where the patterns match, both say the same.
    """
    quickly = _read_canonical(signature_input, signature)
    return quickly if quickly is not None else read_any_signatures(signature_input=signature_input, signature=signature)


def read_any_signatures(*, signature_input: str, signature: str) -> list[OfferedSignature]:
    """Do the work of ``read_signatures`` with the parser of structured fields."""
    inputs = _dictionary(signature_input, name="Signature-Input")
    signatures = _dictionary(signature, name="Signature")
    if not inputs or len(inputs) > SIGNATURES_MAX:
        raise SignatureMalformedError(f"a message has 1 to {SIGNATURES_MAX} signatures")
    if inputs.keys() != signatures.keys():
        raise SignatureMalformedError("Signature-Input and Signature do not have the same labels")
    return [_offered(label, inputs[label], signatures[label]) for label in inputs]


def _read_canonical(signature_input: str, signature: str) -> list[OfferedSignature] | None:
    """Return the signatures of two canonical fields; None for whatever is not surely canonical."""
    inputs, signatures = signature_input.split(", "), signature.split(", ")
    if len(inputs) != len(signatures) or len(inputs) > SIGNATURES_MAX or len(signature_input) > FIELD_CHARS_MAX:
        return None
    read: dict[str, OfferedSignature] = {}
    for input_text, signature_text in zip(inputs, signatures, strict=True):
        member, value = _MEMBER.fullmatch(input_text), _SIGNATURE.fullmatch(signature_text)
        if member is None or value is None or member["label"] != value["label"] or member["label"] in read:
            return None
        names = _COMPONENT.findall(member["components"])
        params = dict(_PARAM.findall(member["params"]))
        components = tuple(Component(name, from_request=bool(flag)) for name, flag in names)
        if len(set(components)) != len(components) or len(params) != member["params"].count(";"):
            return None
        read[member["label"]] = OfferedSignature(
            label=member["label"],
            components=components,
            params_text=input_text[len(member["label"]) + 1 :],
            key_id=_unquoted(params.get("keyid")),
            algorithm=_unquoted(params.get("alg")),
            created=_number(params.get("created")),
            expires=_number(params.get("expires")),
            nonce=_unquoted(params.get("nonce")),
            signature=base64.b64decode(value["value"]),
        )
    return list(read.values())


def _unquoted(text: str | None) -> str | None:
    return None if text is None else text[1:-1]


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _offered(label: str, member: Any, signature: Any) -> OfferedSignature:
    if not isinstance(member, tuple) or not isinstance(member[0], list):
        raise SignatureMalformedError("a signature's input is a list of components")
    if not isinstance(signature, tuple) or not isinstance(signature[0], bytes):
        raise SignatureMalformedError("a signature is a byte sequence")
    items, params = member
    components = tuple(_component(name, flags) for name, flags in items)
    if len(set(components)) != len(components):
        raise SignatureMalformedError("a component is covered twice")
    return OfferedSignature(
        label=label,
        components=components,
        params_text=http_sf.ser([member]),
        key_id=_text(params, "keyid"),
        algorithm=_text(params, "alg"),
        created=_seconds(params, "created"),
        expires=_seconds(params, "expires"),
        nonce=_text(params, "nonce"),
        signature=signature[0],
    )


def _component(name: Any, flags: dict[str, Any]) -> Component:
    if not isinstance(name, str) or name != name.lower() or name == "@signature-params":
        raise SignatureMalformedError("a component is named by lower-case text")
    if flags and (flags.keys() != {"req"} or flags["req"] is not True):
        raise SignatureMalformedError("components are taken whole: no parameter but req")
    return Component(name, from_request=bool(flags))


def _text(params: dict[str, Any], name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise SignatureMalformedError(f"{name} is text")
    return value


def _seconds(params: dict[str, Any], name: str) -> int | None:
    value = params.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise SignatureMalformedError(f"{name} is whole unix seconds")
    return value


def _dictionary(value: str, *, name: str) -> dict[str, Any]:
    if len(value) > FIELD_CHARS_MAX:
        raise SignatureMalformedError(f"{name} has more than {FIELD_CHARS_MAX} characters")

    def refuse_duplicate(_key: str, context: str) -> None:
        raise SignatureMalformedError(f"{name}: a duplicate key of a {context}")

    try:
        parsed = http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=refuse_duplicate)
    except ValueError as error:
        raise SignatureMalformedError(f"{name} is no dictionary of RFC 9651") from error
    assert isinstance(parsed, dict)  # the type that was asked for
    return parsed
