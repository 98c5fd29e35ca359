"""docs/external-wallet-protocol.md says what the code does."""

import re

from pydantic import SecretStr

from reference_wallet.app import create_app
from reference_wallet.settings import Settings
from shared.ewp.messages import parse_order, parse_transfer_answer
from support.protocol_document import DOCUMENT, EXAMPLES, with_examples
from wallet_gateway.protocols.endpoint import WalletKey
from wallet_gateway.reconciliation.step_ids import parse_order_id


def test_the_examples_are_as_the_code_makes_them() -> None:
    """None has drifted (`cd tests && ../.venv/bin/python -m support.protocol_document` writes them anew), and none is unused."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_examples(text) == text
    assert set(re.findall(r"<!-- example: ([a-z-]+) -->", text)) == set(EXAMPLES)


def test_the_examples_are_read_by_the_code() -> None:
    """What the document shows is what the parsers take."""
    order = EXAMPLES["order"]().removeprefix("```json\n").removesuffix("\n```")
    assert parse_order("tr_1.d.1", order.encode()).mode == "hold"
    for name in ("held", "committed", "rejected", "tombstone"):
        answer = EXAMPLES[name]().removeprefix("```json\n").removesuffix("\n```")
        assert parse_transfer_answer(answer.encode()).state in {name, "cancelled"}


def test_every_call_of_the_document_is_one_of_the_reference_wallet() -> None:
    """The table of calls and the reference wallet's own document name the same paths."""
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = {
        (method.lower(), re.sub(r"\?.*", "", path))
        for method, path in re.findall(r"^\| `(GET|PUT|POST) (/[^` ]*)`", text, flags=re.MULTILINE)
    }
    paths = create_app(Settings.for_documentation()).openapi()["paths"]
    served = {
        (method, path) for path, calls in paths.items() if path.startswith(("/v1/", "/.well-known")) for method in calls
    }
    assert {(method, path.replace("{id}", "{transfer_id}")) for method, path in documented} == served


def test_the_ids_of_the_document_are_those_that_the_gateway_gives() -> None:
    """Whoever builds a wallet by the document parses what comes."""
    ids = set(re.findall(r"tr_[0-9a-z]{26}[.a-z0-9]*", DOCUMENT.read_text(encoding="utf-8")))
    assert ids
    assert [text for text in ids if parse_order_id(text) is None] == []


def test_the_document_offers_the_algorithm_that_the_gateway_has() -> None:
    """Wallets are registered with a shared key; nothing else is promised."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert {name.lower() for name in re.findall("hmac-sha256|ed25519", text, flags=re.IGNORECASE)} == {
        WalletKey(key_id="key_1", secret=SecretStr("x")).algorithm
    }
