"""docs/external-wallet-protocol.md says what the code does."""

import re

from reference_wallet.app import create_app
from reference_wallet.settings import Settings
from shared.ewp.messages import parse_order, parse_transfer_answer
from support.protocol_document import DOCUMENT, EXAMPLES, with_examples


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
