"""A unit test that opens a network socket fails: what talks to something is an integration test."""

from collections.abc import Iterator

import pytest
import structlog
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _default_logging() -> None:
    """Set logging back to what it is before any application of another test has set a level."""
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    # Unix sockets stay: the event loop wakes itself through a pair of them.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
