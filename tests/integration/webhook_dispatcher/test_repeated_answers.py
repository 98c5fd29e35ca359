"""A repeated creation shows another credential of the realm nothing that it may not read."""

from typing import Any

import pytest

from support.dispatcher_service import URL, DispatcherService, Tenant
from support.repeated_creations import shown_to_who_may_read

_TYPE = {"name": "acme.x", "description": "x", "json_schema": {}, "example": {}}
#: Path, body, the scope that does it, and the one that shows what it made.
CREATIONS: dict[str, tuple[str, Any, str, str]] = {
    "webhook": ("/v1/webhooks", {"name": "x", "url": URL, "events": ["*"]}, "webhooks:write", "webhooks:read"),
    "event type": ("/v1/event-types", _TYPE, "webhooks:write", "webhooks:read"),
    "rotation": ("/v1/webhooks/{webhook}/secret/rotate", {}, "webhooks:write", "webhooks:read"),
    "test": ("/v1/webhooks/{webhook}/test", {"event_type": "payment.failed"}, "webhooks:write", "deliveries:read"),
}


@pytest.mark.parametrize("kind", CREATIONS)
async def test_a_repeated_creation_shows_nobody_more_than_it_may_see(
    service: DispatcherService, tenant: Tenant, kind: str
) -> None:
    """The maker gets its answer again, and so does who may read such objects; another one of the realm does not."""
    template, body, write, read = CREATIONS[kind]
    path = template.format(webhook=(await tenant.new_webhook())["id"])
    maker, reader, writer = [
        await service.client_with(tenant.id, scopes=scopes) for scopes in ([write], [write, read], [write])
    ]
    key = kind.replace(" ", "-")
    await shown_to_who_may_read(path, body, key=key, maker=maker, reader=reader, writer=writer, read=read)
