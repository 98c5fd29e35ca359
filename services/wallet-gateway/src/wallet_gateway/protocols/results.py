"""What is known after a call to a wallet, as types. Pure data.

::

    StepResult
    ├── NotSent         no byte of this request left: nothing happened by it
    ├── Definitive      the wallet says what became of the step, and it is proved to be its answer
    ├── EchoMismatch    the wallet answers about something else than was ordered: a person must look
    ├── NotFound        the wallet says that it never saw the step; never final
    └── Unknown         everything else: the step may have been done

    ReadFailed (Exception)   a read brought nothing; ``sent`` tells whether the wallet may have been asked
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.ewp.messages import TransferAnswer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call as it went, for timelines and logs. Digests are RFC 9530 text, ``sha-256=:…:``; None without a body."""

    started_at: datetime
    duration_ms: float
    response_status: int | None = None
    request_digest: str | None = None
    response_digest: str | None = None
    signature_verified: bool | None = None
    """True: present and good. False: present and bad, or demanded and missing. None: neither present nor demanded."""
    clock_skew_seconds: float | None = None
    """The wallet's ``Date`` header minus our clock, to the second; None where it sent none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    code: str
    call: CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitive:
    answer: TransferAnswer
    call: CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoMismatch:
    detail: str
    call: CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    call: CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """``wallet_code`` is the ``code`` of the problem that came with an error status, where one did: for people only."""

    code: str
    call: CallRecord
    wallet_code: str | None = None


StepResult = NotSent | Definitive | EchoMismatch | NotFound | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[T]):
    """A read that succeeded."""

    value: T
    call: CallRecord


class ReadFailed(Exception):  # noqa: N818 - errors are named facts
    """A read brought nothing that can be shown. ``code`` is stable; ``sent`` is False when no byte left this process."""

    def __init__(self, code: str, *, sent: bool, call: CallRecord, wallet_code: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.sent = sent
        self.call = call
        self.wallet_code = wallet_code
