"""One migrated database and one running API process for each test module."""

from collections.abc import AsyncIterator

import pytest

from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases

_NEVER_SECONDS = 3600.0


@pytest.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a running service. Its merged writes wait until a test flushes them, so that statements can be counted."""
    async with databases.temporary("credentials") as url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("credentials.merged_writes.FLUSH_SECONDS", _NEVER_SECONDS)
            async with credentials_service(settings_for(url)) as running:
                yield running
