"""Faults of an answer's content: from the true body to a wrong one. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from reference_wallet.faults.rule import ContentFault

_DEPTH = 100_000


def altered(fault: ContentFault, body: bytes) -> bytes:
    """Return what is sent instead of ``body``, a JSON object."""
    return _ALTER[fault](body)


def _changed(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda body: orjson.dumps(_each(orjson.loads(body), fields))


def _each(content: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Change the fields that are there, in the object itself or in each item of its list."""
    if "data" in content:
        return {**content, "data": [_each(item, fields) for item in content["data"]]}
    return {**content, **{name: value for name, value in fields.items() if name in content}}


def _amount_as(text: bytes) -> Callable[[bytes], bytes]:
    """Put something that is no JSON string in the place of each amount."""

    def alter(body: bytes) -> bytes:
        marked = orjson.dumps(_each(orjson.loads(body), dict.fromkeys(_AMOUNTS, "\ufffd")))
        return marked.replace('"\ufffd"'.encode(), text)

    return alter


def _twice(body: bytes) -> bytes:
    content = orjson.loads(body)
    return orjson.dumps(dict.fromkeys(content))[:-1] + b"," + body[1:]


_AMOUNTS = ("amount", "ledger", "available", "held", "balance_after")
_ALTER: Mapping[ContentFault, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "repeat_true": lambda _: b'{"repeat":true}',
    "wrong_id": _changed(transfer_id="tr_of_somebody_else.d.1", wallet_id="wallet-of-somebody-else"),
    "wrong_amount": _changed(amount="7777.77", ledger="7777.77"),
    "wrong_currency": _changed(currency="CHF"),
    "wrong_state": _changed(state="settled"),
    "number_amount": _amount_as(b"12.5"),
    "nan": _amount_as(b"NaN"),
    "huge_number": _amount_as(b"1e400"),
    "duplicate_keys": _twice,
    "deep_json": lambda _: b'{"a":' * _DEPTH + b"null" + b"}" * _DEPTH,
}
CONTENT_FAULTS = frozenset(_ALTER)
