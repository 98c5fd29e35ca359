"""The form of keys, and what a wrong checksum costs."""

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import key_format
from shared.key_format import BASE62, Environment, Kind

KINDS: list[Kind] = ["secret", "public", "service", "security_token"]
ENVIRONMENTS: list[Environment] = ["live", "test"]


def test_checksum_is_the_crc32_of_ieee() -> None:
    """The known answer CRC32("123456789") = CBF43926 stands in base62, padded to six."""
    assert zlib.crc32(b"123456789") == 0xCBF43926
    digits = key_format.checksum("123456789")
    number = 0
    for digit in digits:
        number = number * 62 + BASE62.index(digit)
    assert (number, len(digits)) == (0xCBF43926, 6)


def test_checksum_is_padded_with_zeros() -> None:
    """A small CRC32 fills its six places from the left with 0; CRC32 of nothing is 0."""
    assert key_format.checksum("") == "000000"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_generated_key_has_the_documented_form(kind: Kind, environment: Environment) -> None:
    """A key is cw, kind, environment, 43 characters and six of checksum, and says its own kind and environment."""
    text = key_format.generate(kind, environment)
    code = {"secret": "sk", "public": "pk", "service": "sv", "security_token": "st"}[kind]
    assert re.fullmatch(rf"cw_{code}_{environment}_[0-9A-Za-z]{{49}}", text)
    form = key_format.parse(text)
    assert form is not None
    assert (form.kind, form.environment, form.last_four) == (kind, environment, text[-4:])
    assert text.startswith(form.prefix)
    assert len(form.prefix) == len(f"cw_{code}_{environment}_") + 4


def test_keys_do_not_repeat() -> None:
    """A thousand keys are a thousand different ones."""
    assert len({key_format.generate("secret", "live") for _ in range(1000)}) == 1000


@given(position=st.integers(0, 59), replacement=st.sampled_from(BASE62 + "_-é\u0661 \n"))
def test_any_single_changed_character_is_refused(position: int, replacement: str) -> None:
    """A typo anywhere is found without a look-up."""
    text = "cw_sk_live_" + "0" * 43
    text += key_format.checksum(text)
    changed = text[:position] + replacement + text[position + 1 :]
    assert (key_format.parse(changed) is None) == (changed != text)


@given(st.text(max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    """Whatever is sent as a key, parsing answers and does not raise."""
    assert key_format.parse(text) is None


@pytest.mark.parametrize("extra", [" ", "\n", "0", "\0"])
def test_nothing_may_stand_around_a_key(extra: str) -> None:
    """Spaces, a line end or a further character make it no key."""
    text = key_format.generate("secret", "live")
    assert key_format.parse(text + extra) is None
    assert key_format.parse(extra + text) is None
