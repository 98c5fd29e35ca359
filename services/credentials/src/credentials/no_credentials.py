"""Texts that callers choose and that are kept: names, descriptions, metadata. None of them may hold a credential."""

from pydantic import AfterValidator

from shared.telemetry import holds_secret


def _no_credential(text: str) -> str:
    if holds_secret(text):
        raise ValueError("holds a credential; treat it as leaked")
    return text


NO_CREDENTIAL = AfterValidator(_no_credential)
"""Refuses a text with one of our credentials in it, which every reader of the list, every log and every backup would show."""
