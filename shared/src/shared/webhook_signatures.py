"""Signatures and secrets of webhooks: a wire contract.

``standard`` is Standard Webhooks 1.0 (https://www.standardwebhooks.com), symmetric ``v1``; ``crm`` and ``timestamped`` are the
older forms that integrators already verify. Used by the webhook-dispatcher, which signs, and by receivers of ours, which verify.

Errors::

    MalformedSecretError (ValueError)      says what is wrong, never what the text was
    SignatureRefusedError
    ├── SignatureMissingError              a webhook-* header is absent or not of its form
    ├── SignatureTimeError                 signed too long ago, or in the future
    └── SignatureMismatchError             no signature fits the body under any key
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret, not one of them
KEY_BYTES_MIN = 24
KEY_BYTES_MAX = 64
PRINTABLE_CHARS_MIN = 16
PRINTABLE_CHARS_MAX = 128
TOLERANCE_SECONDS = 300
SIGNATURES_MAX = 24
"""More than any rotation produces; a header with more is not one of ours, and costs no more work than this."""

_GENERATED_KEY_BYTES = 32
_PRINTABLE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)

CrmForm = Literal["hex", "prefixed"]


class MalformedSecretError(ValueError):
    """A text is not a secret of the wanted form. The message names the reason and never quotes the text."""


class SignatureRefusedError(Exception):
    """A request does not prove that its sender holds the secret."""


class SignatureMissingError(SignatureRefusedError):
    """``webhook-id``, ``webhook-timestamp`` or ``webhook-signature`` is absent or not of its form."""


class SignatureTimeError(SignatureRefusedError):
    """The request was signed more than the tolerance ago, or that far in the future: perhaps a replay, or a wrong clock."""


class SignatureMismatchError(SignatureRefusedError):
    """No ``v1`` signature fits the body under any key."""


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A webhook's secret, and the HMAC key that receivers make of it. Its repr shows neither.

    One rule for every format: the key of a ``whsec_…`` text is the base64 after the prefix, decoded; that of any other text is
    its bytes.
    """

    text: str = field(repr=False)
    """As its owner configures it; what is sealed and revealed."""
    key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new ``whsec_…`` secret of 256 random bits; it serves every format."""
        return cls.parse_standard(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_GENERATED_KEY_BYTES)).decode())

    @classmethod
    def parse_standard(cls, text: str) -> Self:
        """Read ``whsec_`` + base64 (RFC 4648 §4, padded) of 24 to 64 bytes; raises MalformedSecretError."""
        if not text.startswith(SECRET_PREFIX):
            raise MalformedSecretError(f"a secret begins with {SECRET_PREFIX}")
        encoded = text.removeprefix(SECRET_PREFIX)
        try:
            key = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            # Without the cause: its message may repeat a part of the text.
            raise MalformedSecretError(f"what follows {SECRET_PREFIX} is not padded standard base64") from None
        if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
            raise MalformedSecretError(f"the key has {len(key)} bytes; {KEY_BYTES_MIN} to {KEY_BYTES_MAX} are allowed")
        if base64.b64encode(key).decode() != encoded:
            # Left-over bits: some receivers' decoders refuse them, so the fault would show as a failing signature there.
            raise MalformedSecretError("the base64 is not canonical: its last character carries bits that are not used")
        return cls(text, key)

    @classmethod
    def parse_printable(cls, text: str) -> Self:
        """Read 16 to 128 printable ASCII characters, for ``crm`` and ``timestamped``; raises MalformedSecretError.

        The key of a well-formed ``whsec_…`` is the decoded one here too.
        """
        if not PRINTABLE_CHARS_MIN <= len(text) <= PRINTABLE_CHARS_MAX:
            raise MalformedSecretError(
                f"it has {len(text)} characters; {PRINTABLE_CHARS_MIN} to {PRINTABLE_CHARS_MAX} are allowed"
            )
        if not _PRINTABLE.fullmatch(text):
            raise MalformedSecretError("it holds a character that is not printable ASCII")
        try:
            return cls.parse_standard(text)
        except MalformedSecretError:
            return cls(text, text.encode())

    def __str__(self) -> str:
        return repr(self)


def standard_signature(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: ``v1,<base64 HMAC-SHA256 over id.timestamp.body>`` for each key, in order."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join([f"v1,{_base64_hmac(key, signed)}" for key in keys])


def crm_signature(key: bytes, body: bytes, *, form: CrmForm) -> str:
    """Return lower-case hex HMAC-SHA256 of the body, with ``sha256=`` before it when ``form`` is ``prefixed``."""
    digest = hmac.digest(key, body, "sha256").hex()
    return digest if form == "hex" else f"sha256={digest}"


def timestamped_signature(keys: Sequence[bytes], *, timestamp: int, body: bytes) -> str:
    """Return ``t=<unix s>,s=<hex HMAC-SHA256 over t.body>`` with one ``s=`` for each key, in order."""
    signed = b"%d.%b" % (timestamp, body)
    return ",".join([f"t={timestamp}", *(f"s={hmac.digest(key, signed, 'sha256').hex()}" for key in keys)])


def verify_standard(
    keys: Sequence[bytes],
    *,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> None:
    """Return when ``body`` was signed with one of ``keys`` within the tolerance of ``now`` (unix seconds).

    ``headers`` is looked up by lower-case names. Raises SignatureMissingError, SignatureTimeError or SignatureMismatchError.
    Every key is tried against every signature, each in constant time: the time taken says nothing about which came near.
    """
    message_id, sent_at, offered = (
        headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    if not message_id or not offered or not _UNIX_SECONDS.fullmatch(sent_at):
        raise SignatureMissingError("webhook-id, webhook-timestamp (unix seconds) and webhook-signature are required")
    timestamp = int(sent_at)
    if abs(now - timestamp) > tolerance_seconds:
        raise SignatureTimeError(f"signed more than {tolerance_seconds} s away from this clock")
    signatures = offered.split(" ")
    if len(signatures) > SIGNATURES_MAX:
        raise SignatureMismatchError(f"more than {SIGNATURES_MAX} signatures")
    # "replace": a header may hold anything, and the comparison of texts refuses what is not ASCII.
    candidates = [signature.encode("ascii", "replace") for signature in signatures]
    # The text as sent is what was signed: "0161" and "161" are the same second but not the same bytes.
    signed = b"%b.%b.%b" % (message_id.encode("utf-8", "replace"), sent_at.encode(), body)
    wanted = [f"v1,{_base64_hmac(key, signed)}".encode() for key in keys]
    fits = [hmac.compare_digest(candidate, right) for candidate in candidates for right in wanted]
    if not any(fits):
        raise SignatureMismatchError("no signature fits the body")


def _base64_hmac(key: bytes, signed: bytes) -> str:
    # The one-shot call: half the time of hmac.new() for the bodies of events.
    return binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False).decode("ascii")
