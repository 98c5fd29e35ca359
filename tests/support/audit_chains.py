"""Audit logs with something in them, and what somebody with the database's password does to them."""

import os
import subprocess
import sys
from typing import Any

from credentials.settings import Settings
from support.credentials_service import CredentialsService


async def eight_entries(service: CredentialsService) -> str:
    """Return a tenant with eight entries in its log."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    for number in range(6):
        await owner.post("/v1/roles", json={"name": f"role {number}", "scopes": ["events:read"]})
    return tenant_id


async def execute(service: CredentialsService, statement: str, *parameters: Any) -> None:
    """Do something to the database behind the service's back."""
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql(statement, parameters)


def run_verify_audit(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command ``verify-audit``."""
    environment = {
        "PATH": os.environ["PATH"],
        "CAUSEWAY_DATABASE_URL": settings.database_url,
        "CAUSEWAY_QUEUE_URL": settings.queue_url,
        "CAUSEWAY_SEALING_KEYS": settings.sealing_keys.get_secret_value(),
    }
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "credentials", "verify-audit", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
