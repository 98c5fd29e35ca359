"""Nothing that looks like one of our secrets reaches a log line, wherever it stands."""

import contextlib
import io
import logging
import secrets
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from shared import key_format
from shared.telemetry import REDACTED, configure_logging, holds_secret, redact

WALLET_KEY = f"ewk_{secrets.token_urlsafe(32)}"
KEYS = [*(key_format.generate(kind, "live") for kind in key_format.KIND_CODES), WALLET_KEY]
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("position", range(len(KEYS)), ids=[*key_format.KIND_CODES, "wallet"])
def test_each_kind_of_key_is_taken_out_of_a_text(position: int) -> None:
    """What stands around it stays."""
    assert redact(f"before {KEYS[position]}, after") == f"before {REDACTED}, after"


@pytest.mark.parametrize("key", KEYS[:-1], ids=list(key_format.KIND_CODES))
def test_a_key_or_most_of_one_is_held_and_what_is_shown_of_it_is_not(key: str) -> None:
    """Wherever it stands. The prefix and the last four are on every screen, and in names that people choose."""
    assert holds_secret(f"before {key}, after")
    assert holds_secret(key[:31])
    form = key_format.parse(key)
    assert form is not None
    assert not holds_secret(f"{form.prefix}…{form.last_four}")
    assert not holds_secret(f"the one that begins {form.prefix}")


@pytest.mark.parametrize(
    "text", [WEBHOOK_SECRET, WEBHOOK_SECRET.replace("whsec", "whsk"), "eyJhbGciOiJ9.eyJpc3MiOiJ9.c2lnbmF0dXJl"]
)
def test_other_secrets_are_held(text: str) -> None:
    """Webhook secrets, signing keys and access tokens; a word that only begins as they do is none."""
    assert holds_secret(f"x {text} y")
    assert not holds_secret(text[:9])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_shows_a_secret(log_format: Literal["json", "console"]) -> None:
    """By name, in a text, in nested values, in an exception, and from the standard library's logging."""
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        configure_logging(service="test", level="info", log_format=log_format)
    log = structlog.get_logger()
    log.info("by name", authorization="opaque-canary", secret=b"opaque-canary", Token="opaque-canary")
    event = f"in the event {KEYS[0]}"
    log.info(event, text=f"x {KEYS[1]}", nested={"a": [KEYS[2], {"password": "opaque-canary"}]})
    try:
        int(KEYS[3])  # the error's message quotes it
    except ValueError:
        log.exception("in an exception")
    logging.getLogger("somebody.else").warning("from elsewhere %s", WEBHOOK_SECRET)
    lines = written.getvalue()
    assert lines.count("test") >= 4
    assert REDACTED in lines
    for secret in (*KEYS, WEBHOOK_SECRET, "opaque-canary"):
        assert secret not in lines


def test_the_access_log_is_off() -> None:
    """It would print query strings."""
    with contextlib.redirect_stderr(io.StringIO()):
        configure_logging(service="test", level="info", log_format="json")
    assert logging.getLogger("uvicorn.access").disabled
