"""The locks agree: what runs in an image is what the tests ran with."""

import re

from support.source_tree import ROOT

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*==\S+)", flags=re.MULTILINE)


def _pins(lock: str) -> set[str]:
    found = set(_PIN.findall((ROOT / lock).read_text()))
    assert found
    return found


def test_each_lock_is_part_of_the_next() -> None:
    """The images', those with brokers' clients, and everything with the tools."""
    runtime, brokers = _pins("deploy/requirements.lock"), _pins("deploy/requirements-brokers.lock")
    assert runtime - brokers == set()
    assert brokers - _pins("requirements.lock") == set()
