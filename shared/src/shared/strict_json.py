"""JSON from outside, read strictly: no duplicate keys, no NUL, bounded depth, valid UTF-8, no NaN.

RFC 8259 leaves duplicate keys to the reader; two readers that differ are how a signature comes to cover
something else than what was acted on, so they are refused. Used by every service and by the event intake.
"""

import json
from collections.abc import Iterator
from typing import Any

import jiter

DEPTH_MAX = 64
_NO_DECIMAL = "Internal error"


class MalformedJsonError(ValueError):
    """The bytes are not acceptable JSON. ``pointer`` is a JSON pointer to the fault, "" where there is none."""

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


def loads(data: bytes, *, decimals: bool = False) -> Any:
    """Parse ``data`` (RFC 8259, UTF-8). Fractions come as exact text (LosslessFloat), integers exactly.

    With ``decimals`` fractions come as Decimal, unless one has an exponent that is none of a Decimal.

    Raises MalformedJsonError with the place of the fault.
    """
    if not data.strip():
        raise MalformedJsonError("the body is empty")
    try:
        value = jiter.from_json(
            data,
            allow_inf_nan=False,
            catch_duplicate_keys=True,
            float_mode="decimal" if decimals else "lossless-float",
        )
    except ValueError as exc:
        if decimals and str(exc).startswith(_NO_DECIMAL):
            return loads(data)
        raise _explain(data, str(exc)) from exc
    # Only a document with many brackets can be deep, only one with the escape can hold a NUL: both walks are rare.
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX or b"\\u0000" in data:
        _check(value)
    return value


def pointer_of(path: tuple[str | int, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, duplicates and all."""


def _explain(data: bytes, message: str) -> MalformedJsonError:
    """Find the pointer for a fault that the fast parser reported by line and column only."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        return MalformedJsonError(f"not valid UTF-8 at byte {exc.start}")
    if message.startswith("Detected duplicate key"):
        # The fast parser stops at the first fault: what follows the duplicate may be no JSON, or too deep for the slow one.
        try:
            jiter.from_json(data, allow_inf_nan=False, float_mode="lossless-float")
        except ValueError as exc:
            return _explain(data, str(exc))
        pairs = json.loads(text, object_pairs_hook=_Pairs)
        for path in _duplicates(pairs):
            return MalformedJsonError("duplicate key", pointer=pointer_of(path))
    if message.startswith("recursion limit"):
        return MalformedJsonError(f"nested deeper than {DEPTH_MAX} levels")
    return MalformedJsonError(f"not valid JSON: {message}")


def _duplicates(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            if key in seen:
                yield (*path, key)
            seen.add(key)
            yield from _duplicates(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, (*path, index))


def _check(value: Any) -> None:
    """Walk a parsed document without recursion; raises MalformedJsonError for depth or a NUL."""
    pending: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while pending:
        item, path = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise MalformedJsonError("holds a NUL character", pointer=pointer_of(path))
        elif isinstance(item, dict | list):
            if len(path) >= DEPTH_MAX:
                raise MalformedJsonError(f"nested deeper than {DEPTH_MAX} levels", pointer=pointer_of(path))
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
            for key, child in pairs:
                if isinstance(key, str) and "\0" in key:
                    raise MalformedJsonError("a key holds a NUL character", pointer=pointer_of(path))
                pending.append((child, (*path, key)))
