"""A small service on the shared foundation, on a database of its own."""

import contextlib
import io
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from shared.telemetry import configure_logging
from support.databases import Databases
from support.mini_service import MiniResources, mini_service


@pytest.fixture(scope="module")
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """Return the URL of a database without migrations."""
    async with databases.temporary() as url:
        yield url


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[FastAPI]:
    """Return a running service whose tables are empty."""
    async with mini_service(database_url) as running:
        yield running


@pytest.fixture
def resources(app: FastAPI) -> MiniResources:
    """Return what the service uses."""
    opened: MiniResources = app.state.resources
    return opened


@pytest.fixture
def log(app: FastAPI) -> io.StringIO:  # noqa: ARG001 - making the application has configured logging before
    """Return what is logged from now on, as a process writes it."""
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        configure_logging(service="mini", level="info", log_format="json")
    return written
