"""The examples of docs/external-wallet-protocol.md, made from the code: ``python -m support.protocol_document`` writes them anew.

In the document each stands between ``<!-- example: name -->`` and ``<!-- end -->``; a test compares them.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from shared import typeids
from shared.ewp.messages import (
    PAGE_ITEMS_MAX,
    BalancePage,
    BalanceQuery,
    CurrencyScale,
    FeedPage,
    RejectionCode,
    StepError,
    TransferAnswer,
    TransferOrder,
    WalletBalance,
    WellKnown,
)
from shared.ewp.signatures import Request, sign_request, sign_response
from shared.ewp.signing_keys import HmacKey
from wallet_gateway.conformance.catalogue import RULES
from wallet_gateway.transfers.plan import StepKind, order_id

DOCUMENT = Path(__file__).parents[2] / "docs" / "external-wallet-protocol.md"
_BLOCK = re.compile(r"<!-- example: ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)

_AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_NOT_AFTER = datetime(2026, 11, 25, 12, 1, tzinfo=UTC)
_CREATED = int(_AT.timestamp())
_ID = order_id(typeids.decode("tr", "tr_01j9zq3s8hf3mbq5w7t2k4v6xy"), StepKind.HOLD)
_KEY = HmacKey.of_text("key_01j9zq3s8hf3mbq5w7t2k4v6xy", "wk_example-only-never-a-real-key-0001")
_NONCE = "Kq3vX0m2c9d1T7sYb5Zt4wEh"
_ORDER = TransferOrder(
    transfer_id=_ID,
    op="debit",
    mode="hold",
    wallet_id="w-118",
    owner_ref="client-42",
    amount=Decimal("100.00"),
    currency="USD",
    not_after=_NOT_AFTER,
    reference="order-2026-1187",
)
_REQUEST = Request(
    method="PUT",
    scheme="https",
    authority="wallet.example.com",
    target=f"/causeway/v1/transfers/{_ID}",
    body=_ORDER.to_json(),
)
_BALANCE = WalletBalance(
    wallet_id="w-118",
    owner_ref="client-42",
    currency="USD",
    scale=2,
    ledger=Decimal("250.00"),
    available=Decimal("150.00"),
    held=Decimal("100.00"),
    as_of=_AT,
    version=18,
)


def _answer(**fields: Any) -> TransferAnswer:
    usual = {"transfer_id": _ID, "op": "debit", "amount": Decimal("100.00"), "currency": "USD", "seq": 41}
    return TransferAnswer(**{**usual, **fields})


_HELD = _answer(state="held", wallet_txn_id="txn-100482")
_COMMITTED = _answer(state="committed", wallet_txn_id="txn-100482", balance_after=Decimal("150.00"), seq=42)
_REJECTED = _answer(state="rejected", error=StepError(code="insufficient_funds", detail="80.00 is available"), seq=41)
_TOMBSTONE = _answer(
    state="cancelled",
    op=None,
    amount=None,
    currency=None,
    error=StepError(code="cancelled", detail="cancelled before it was seen"),
    seq=43,
)


def _json(*messages: Any) -> str:
    shown = []
    for message in messages:
        content = json.loads(message.to_json())
        # What is absent is shown as absent, except where null says something.
        kept = {"op", "amount", "currency", "next_cursor"}
        shown.append(json.dumps(_without_null(content, kept), indent=2, ensure_ascii=False))
    return "```json\n" + "\n".join(shown) + "\n```"


def _without_null(content: Any, kept: set[str]) -> Any:
    if isinstance(content, dict):
        return {key: _without_null(value, kept) for key, value in content.items() if value is not None or key in kept}
    return [_without_null(each, kept) for each in content] if isinstance(content, list) else content


def _signed_request() -> str:
    headers = sign_request([_KEY], _REQUEST, created=_CREATED, nonce=_NONCE)
    lines = [
        f"{_REQUEST.method} {_REQUEST.target} HTTP/1.1",
        f"Host: {_REQUEST.authority}",
        "Content-Type: application/json",
    ]
    lines += [f"{_written(name)}: {value}" for name, value in headers.items()]
    return "```http\n" + "\n".join([*lines, "", _REQUEST.body.decode()]) + "\n```"


class _Listening:
    """A key that tells what it was given to sign."""

    key_id = _KEY.key_id
    algorithm = _KEY.algorithm

    def __init__(self) -> None:
        self.base = b""

    def sign(self, base: bytes) -> bytes:
        self.base = base
        return _KEY.sign(base)


def _signature_base() -> str:
    listening = _Listening()
    sign_request([listening], _REQUEST, created=_CREATED, nonce=_NONCE)
    return f"API key `{_KEY.secret.decode()}`, key id `{_KEY.key_id}`:\n\n```\n{listening.base.decode()}\n```"


def _signed_answer() -> str:
    request = sign_request([_KEY], _REQUEST, created=_CREATED, nonce=_NONCE)
    body = json.dumps(_without_null(json.loads(_HELD.to_json()), {"op"}), separators=(",", ":")).encode()
    headers = sign_response(_KEY, status=200, body=body, request_signature=request["signature"], created=_CREATED)
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json"]
    lines += [f"{_written(name)}: {value}" for name, value in headers.items()]
    return "```http\n" + "\n".join([*lines, "", body.decode()]) + "\n```"


def _written(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _codes() -> str:
    meanings = {
        "insufficient_funds": "less is available than the amount",
        "wallet_not_found": "there is no such wallet, or it belongs to another `owner_ref`",
        "wallet_frozen": "the wallet takes part in no transfer just now",
        "currency_mismatch": "the wallet is in another currency",
        "precision_exceeded": "the amount has more decimals than its currency",
        "limit_exceeded": "a limit of yours is passed",
        "cancelled": "it was cancelled before",
        "expired": "it was first seen after its `not_after`, or its hold has ended",
    }
    rows = [f"| `{code}` | {meanings[code]} |" for code in get_args(RejectionCode)]
    return "\n".join(["| code | when |", "|---|---|", *rows])


def _rules() -> str:
    lines = ["| rule | what must hold |", "|---|---|"]
    lines += [f"| `{rule.name}` | {rule.title} |" for rule in RULES]
    return "\n".join([f"{len(RULES)} rules:", "", *lines])


EXAMPLES: Mapping[str, Callable[[], str]] = {
    "well-known": lambda: _json(
        WellKnown(
            versions=["ewp/1"],
            currencies=[CurrencyScale(code="USD", scale=2), CurrencyScale(code="JPY", scale=0)],
            holds=True,
            retention_days=3650,
            feed=True,
            system_id="merchant-7",
        )
    ),
    "balance-query": lambda: _json(BalanceQuery(owner_refs=["client-42"], currency="USD", limit=50)),
    "balance-page": lambda: _json(BalancePage(data=[_BALANCE], next_cursor=None)),
    "balance": lambda: _json(_BALANCE),
    "order": lambda: _json(_ORDER),
    "held": lambda: _json(_HELD),
    "committed": lambda: _json(_COMMITTED),
    "rejected": lambda: _json(_REJECTED),
    "tombstone": lambda: _json(_TOMBSTONE),
    "feed": lambda: _json(FeedPage(data=[_HELD, _COMMITTED], latest_seq=43)),
    "limits": lambda: f"`limit` is 1 to {PAGE_ITEMS_MAX}.",
    "codes": _codes,
    "signed-request": _signed_request,
    "signature-base": _signature_base,
    "signed-answer": _signed_answer,
    "rules": _rules,
}


def with_examples(text: str) -> str:
    """Return the document with every example as the code makes it; raises KeyError for one that there is not."""

    def made(found: re.Match[str]) -> str:
        return f"<!-- example: {found[1]} -->\n{EXAMPLES[found[1]]()}\n<!-- end -->"

    return _BLOCK.sub(made, text)


def main() -> None:
    """Write the examples anew."""
    DOCUMENT.write_text(with_examples(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
