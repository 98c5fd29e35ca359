"""The samples of docs/samples, run in their own languages: they take what Causeway signs, refuse what was spoilt, and sign."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.ewp.signature_fields import content_digest
from shared.ewp.signatures import Request, sign_request, verify_response
from shared.ewp.signing_keys import HmacKey

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
NOW = 1_780_000_000
KEY = HmacKey.of_text("key_01j9zq3s8hf3mbq5w7t2k4v6xy", "wk_ümlaut-and-more-than-24-bytes")
OTHER = HmacKey.of_text("key_other", "another-key-of-more-than-24-bytes")
ANSWER = '{"state":"committed"}'
_SECONDS = 120

Case = dict[str, Any]


def case(
    *,
    keys: Sequence[HmacKey] = (KEY,),
    method: str = "PUT",
    target: str = "/v1/transfers/tr_1.d.1?a=1",
    body: str = '{"amount":"10.00"}',
    authority: str = "Wallet.example.com:8443",
    created: int = NOW,
    nonce: str | None = None,
) -> Case:
    """Return a signed request as the samples' command reads it."""
    request = Request(method=method, scheme="https", authority=authority, target=target, body=body.encode())
    headers = sign_request(keys, request, created=created, nonce=nonce)
    known = {KEY.key_id: KEY.secret.decode()}
    sent = {"method": method, "authority": authority, "target": target, "headers": headers, "body": body}
    return {**sent, "keys": known, "now": NOW, "answer": ANSWER}


def spoilt(change: Callable[[Case], None]) -> Case:
    """Return a request that was altered after it was signed."""
    made = case()
    change(made)
    return made


def _header(name: str, change: Callable[[str], str]) -> Case:
    made = case()
    made["headers"][name] = change(made["headers"][name])
    return made


def _other_body_with_its_digest(made: Case) -> None:
    made["body"] = '{"amount":"99.00"}'
    made["headers"]["content-digest"] = content_digest(made["body"].encode())


GOOD: Mapping[str, Case] = {
    "with a body": case(),
    "without a body": case(method="GET", body="", target="/v1/transfers/tr_1.d.1"),
    "the default port in the host": case(authority="wallet.example.com:443"),
    "a query that ends in a question mark": case(target="/v1/transfers?after_seq=0&x=?"),
    "two signatures, the second known": case(keys=[OTHER, KEY]),
    "two signatures, the first known": case(keys=[KEY, OTHER]),
    "five minutes ago": case(created=NOW - 300),
    "five minutes ahead": case(created=NOW + 300),
    "a body beyond ASCII": case(body='{"reference":"Überweisung №1"}'),
}
SPOILT: Mapping[str, Case] = {
    "no signature": spoilt(lambda made: made.update(headers={})),
    "another method": spoilt(lambda made: made.update(method="POST")),
    "another path": spoilt(lambda made: made.update(target="/v1/transfers/tr_2.d.1?a=1")),
    "another query": spoilt(lambda made: made.update(target="/v1/transfers/tr_1.d.1?a=2")),
    "another host": spoilt(lambda made: made.update(authority="evil.example.com")),
    "another body": spoilt(lambda made: made.update(body='{"amount":"99.00"}')),
    "another body with its digest": spoilt(_other_body_with_its_digest),
    "no digest": spoilt(lambda made: made["headers"].pop("content-digest")),
    "an unknown key": case(keys=[OTHER]),
    "another key under the name": case(keys=[HmacKey.of_text(KEY.key_id, "guessed-key-of-more-than-24-bytes")]),
    "too old": case(created=NOW - 301),
    "too far ahead": case(created=NOW + 301),
    "less covered": _header("signature-input", lambda text: text.replace('"@path" ', "")),
    "another time than was signed": _header("signature-input", lambda text: text.replace(str(NOW), str(NOW + 1))),
    "another algorithm": _header("signature-input", lambda text: text.replace("hmac-sha256", "none")),
    "a nonce that was not signed": _header("signature-input", lambda text: text.replace('nonce="', 'nonce="x')),
    "a malformed input": _header("signature-input", lambda text: text + ", ("),
    "a malformed signature": _header("signature", lambda text: text.replace(":", "")),
    "an altered signature": _header("signature", lambda text: text.replace("sig1=:", "sig1=:AAAA")),
    "a label twice": _header("signature-input", lambda text: f"{text}, {text}"),
}


def _python(_folder: Path) -> list[str]:
    return [sys.executable, "-I", str(SAMPLES / "signatures.py")]


def _node(_folder: Path) -> list[str]:
    return [_program("node", "Node"), str(SAMPLES / "signatures.mjs")]


def _go(folder: Path) -> list[str]:
    go, built = _program("go", "Go"), folder / "signatures"
    environment = {
        **os.environ,
        "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
    }
    command = [go, "build", "-o", str(built), str(SAMPLES / "signatures.go")]
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS)  # noqa: S603 - the Go compiler on our own file
    assert made.returncode == 0, made.stderr
    return [str(built)]


def _php(_folder: Path) -> list[str]:
    return [_program("php", "PHP"), str(SAMPLES / "signatures.php")]


def _program(name: str, language: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{language} is not on this machine: the {language} sample of signature checking did NOT run")
    return found


LANGUAGES = {"python": _python, "node": _node, "go": _go, "php": _php}


@pytest.fixture(scope="module", params=LANGUAGES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command that runs one language's sample."""
    return LANGUAGES[request.param](tmp_path_factory.mktemp(request.param))


def run(command: list[str], cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return the sample's verdict about each case."""
    lines = "".join(json.dumps(each) + "\n" for each in cases)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603 - our own sample
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_signed_is_taken_and_the_answer_verifies(sample: list[str]) -> None:
    """Each good request is taken under its key, and the answer's signature holds and is bound to it."""
    for name, sent, verdict in zip(GOOD, GOOD.values(), run(sample, list(GOOD.values())), strict=True):
        assert verdict.get("key_id") == KEY.key_id, (name, verdict)
        verified = verify_response(
            status=200,
            body=ANSWER.encode(),
            headers=list(verdict["headers"].items()),
            request_signature=sent["headers"]["signature"],
            keys={KEY.key_id: KEY},
            now=NOW,
        )
        assert verified.key_id == KEY.key_id


def test_what_was_spoilt_is_refused(sample: list[str]) -> None:
    """Each way of spoiling a request is refused, with a reason and without a crash."""
    verdicts = run(sample, list(SPOILT.values()))
    taken = [name for name, verdict in zip(SPOILT, verdicts, strict=True) if "refused" not in verdict]
    assert taken == []


def test_a_nonce_is_taken_once(sample: list[str]) -> None:
    """The same request again is refused, and so is another one with its nonce."""
    first = case(nonce="once-and-never-again")
    verdicts = run(sample, [first, first, case(nonce="once-and-never-again", target="/v1/transfers/tr_9.d.1"), case()])
    assert ["refused" in verdict for verdict in verdicts] == [False, True, True, False]
    assert verdicts[1]["refused"] == "the nonce was used before"
