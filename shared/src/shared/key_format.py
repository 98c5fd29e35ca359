"""The form of Causeway's keys (a wire contract): ``cw_<kind>_<env>_<43 base62><6 base62 CRC32>``.

The checksum lets a typo, or a leak scanner's find, be judged without any look-up. Used by credentials, which issues keys,
and by ``shared.access``, which refuses malformed ones before any I/O.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Literal, get_args

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
BODY_CHARS = 43
CHECKSUM_CHARS = 6
_BODY_BITS = 256

Kind = Literal["secret", "public", "service", "security_token"]
Environment = Literal["live", "test"]

KIND_CODES: dict[Kind, str] = {"secret": "sk", "public": "pk", "service": "sv", "security_token": "st"}
_KINDS: dict[str, Kind] = {code: kind for kind, code in KIND_CODES.items()}
_FORM = re.compile(
    rf"cw_({'|'.join(_KINDS)})_({'|'.join(get_args(Environment))})_([0-9A-Za-z]{{{BODY_CHARS}}})([0-9A-Za-z]{{{CHECKSUM_CHARS}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What a well-formed key says about itself. Holds no secret part."""

    kind: Kind
    environment: Environment
    prefix: str
    last_four: str


def generate(kind: Kind, environment: Environment) -> str:
    """Return a new key with 256 random bits."""
    head = f"cw_{KIND_CODES[kind]}_{environment}_{_base62(secrets.randbits(_BODY_BITS), BODY_CHARS)}"
    return head + checksum(head)


def parse(text: str) -> KeyForm | None:
    """Return the form of a well-formed key with a right checksum, else None."""
    match = _FORM.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_CHARS]) != match[4]:
        return None
    head = text[: -CHECKSUM_CHARS - BODY_CHARS]
    return KeyForm(
        kind=_KINDS[match[1]], environment=_environment(match[2]), prefix=head + match[3][:4], last_four=text[-4:]
    )


def checksum(head: str) -> str:
    """Return CRC32 (IEEE 802.3) of ``head`` in base62, zero-padded to six characters."""
    return _base62(zlib.crc32(head.encode("ascii")), CHECKSUM_CHARS)


def _environment(text: str) -> Environment:
    return "live" if text == "live" else "test"


def _base62(number: int, width: int) -> str:
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits)).rjust(width, BASE62[0])
