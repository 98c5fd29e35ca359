"""The dispatcher knows no tenants, only realms: what an internal system publishes is accepted for whomever it names.

Suspending a tenant ends its credentials, not what it is owed: its money goes on moving, and its events must not be lost.
"""

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment
from support.engine import until


async def test_events_of_a_tenant_that_does_not_exist_are_kept_and_owed_to_nobody(service: DispatcherService) -> None:
    """202: services ask one another about credentials, not about tenants."""
    nobody = typeids.new_id()
    publisher = service.client(service.publisher_key, x_tenant_id=typeids.encode("ten", nobody))
    answer = await publisher.post("/v1/events", json=payment(1))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    rows = await service.rows("SELECT matched FROM events WHERE tenant_id = :tenant", tenant=nobody)
    assert [row.matched for row in rows] == [0]


async def test_events_of_a_suspended_tenant_are_owed_as_before(service: DispatcherService, tenant: Tenant) -> None:
    """An internal system goes on publishing; the tenant's own credentials do nothing meanwhile, and find all of it later."""
    await tenant.new_webhook()
    platform = service.credentials.platform

    async def owner_is_answered(status: int) -> bool:
        return (await tenant.owner.get("/v1/deliveries")).status_code == status

    (await platform.patch(f"/v1/tenants/{tenant.id}", json={"status": "suspended"})).raise_for_status()
    await until(lambda: owner_is_answered(401), what="the tenant's keys do nothing")
    assert (await tenant.publish(payment(1)))["accepted"] == 1
    (await platform.patch(f"/v1/tenants/{tenant.id}", json={"status": "active"})).raise_for_status()
    await until(lambda: owner_is_answered(200), what="the tenant's keys are good again")
    assert [item["event_id"] for item in await tenant.deliveries()] == ["pay-1"]
