"""Why a signed message is not believed. Used by both sides of ``ewp/1``.

::

    SignatureRefusedError              ``code`` is stable, for problems and timelines
    ├── SignatureMissingError          there is no signature at all
    ├── SignatureMalformedError        the fields are no structured fields, or not the ones of the protocol
    ├── UnknownKeyError                no signature names a key that is known
    ├── ComponentsNotCoveredError      something that has to be signed is not
    ├── DigestMismatchError            the body is not the one whose digest was signed
    ├── SignatureTimeError             made more than the tolerance ago, or that far in the future; ``skew_seconds``
    ├── SignatureMismatchError         the signature does not fit the message
    ├── NonceReplayedError             the nonce was seen before
    └── NonceMemoryFullError           nothing is known about the nonce, since no more can be remembered
"""

from typing import ClassVar


class SignatureRefusedError(Exception):
    """A message does not prove who sent it."""

    code: ClassVar[str] = "signature_refused"


class SignatureMissingError(SignatureRefusedError):
    code = "signature_missing"


class SignatureMalformedError(SignatureRefusedError):
    code = "signature_malformed"


class UnknownKeyError(SignatureRefusedError):
    code = "signature_key_unknown"


class ComponentsNotCoveredError(SignatureRefusedError):
    code = "signature_components_missing"


class DigestMismatchError(SignatureRefusedError):
    code = "content_digest_mismatch"


class SignatureTimeError(SignatureRefusedError):
    """``skew_seconds`` is the signer's ``created`` minus the reader's clock."""

    code = "signature_time"

    def __init__(self, *, skew_seconds: float, tolerance_seconds: int) -> None:
        super().__init__(f"made {skew_seconds:+.0f} s from this clock; {tolerance_seconds} s are allowed")
        self.skew_seconds = skew_seconds


class SignatureMismatchError(SignatureRefusedError):
    code = "signature_mismatch"


class NonceReplayedError(SignatureRefusedError):
    code = "nonce_replayed"


class NonceMemoryFullError(SignatureRefusedError):
    code = "nonce_memory_full"
