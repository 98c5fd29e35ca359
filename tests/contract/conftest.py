"""One running credentials service for each module that asks."""

from collections.abc import AsyncIterator

import pytest

from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a running credentials service."""
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as running:
        yield running
