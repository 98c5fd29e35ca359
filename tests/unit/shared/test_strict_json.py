"""JSON from outside is read strictly, and a fault is pointed at."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.strict_json import DEPTH_MAX, MalformedJsonError, loads, pointer_of

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_sound_documents_are_read_as_they_are(value: object) -> None:
    """What any JSON writer makes is read back the same."""
    assert loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_value_or_the_one_error(data: bytes) -> None:
    """No input raises anything but MalformedJsonError."""
    with contextlib.suppress(MalformedJsonError):
        loads(data)


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (b'{"a": 1, "a": 2}', "/a"),
        (b'{"list": [{"x": {"k": 1, "k": 1}}]}', "/list/0/x/k"),
        (b'{"a/b~c": {"d": 1, "d": 2}}', "/a~1b~0c/d"),
        (b'{"a": ["fine", "nul \\u0000"]}', "/a/1"),
        (b'{"a": {"nul\\u0000": 1}}', "/a"),
    ],
)
def test_the_fault_is_pointed_at(data: bytes, pointer: str) -> None:
    """Duplicate keys and NUL are refused with the JSON pointer to the place."""
    with pytest.raises(MalformedJsonError) as error:
        loads(data)
    assert error.value.pointer == pointer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'"\xff"',
        b'{"a": "\xc0\x80"}',
        b'"\\ud800"',
        b"1 2",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """Empty, cut off, NaN, lone surrogates, invalid UTF-8, two documents, a byte order mark."""
    with pytest.raises(MalformedJsonError):
        loads(data)


@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_depth_is_limited(pair: tuple[str, str]) -> None:
    """At the limit a document is read, one level more is refused, and a million levels do not exhaust the stack."""
    opening, closing = pair

    def nested(levels: int) -> bytes:
        return (opening * levels + "1" + closing * levels).encode()

    loads(nested(DEPTH_MAX))
    for levels in (DEPTH_MAX + 1, 1_000_000):
        with pytest.raises(MalformedJsonError):
            loads(nested(levels))


def test_numbers_are_exact() -> None:
    """Long integers and fractions keep every digit."""
    assert loads(b"123456789012345678901234567890") == 123456789012345678901234567890
    assert str(loads(b"0.1000")) == "0.1000"


def test_pointer_escapes() -> None:
    """RFC 6901: ~ and / inside a key are written ~0 and ~1."""
    assert pointer_of(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


@pytest.mark.parametrize(
    "rest",
    ["", "2", "2} x", "[" * 100_000, "[" * 100_000 + "]" * 100_000 + "}", "1" * 5000 + "}", "NaN}", '"\\ud800"}'],
    ids=["cut off", "not closed", "two documents", "deep and cut off", "deep", "too long a number", "NaN", "surrogate"],
)
def test_a_duplicate_key_before_another_fault_is_still_the_one_error(rest: str) -> None:
    """Whatever stands after the duplicate, the document is refused, and nothing else is raised."""
    with pytest.raises(MalformedJsonError):
        loads(f'{{"a": 1, "a": {rest}'.encode())
