"""What a call does not know is refused, never ignored: a body where none is taken, a query parameter of no meaning."""

import pytest

from support.dispatcher_service import Tenant

BODILESS = ["enable", "disable", "secret/reveal", "secret/rotate"]


@pytest.mark.parametrize("call", BODILESS)
async def test_an_unknown_field_is_refused_by_calls_that_need_no_body(tenant: Tenant, call: str) -> None:
    """422 that points at it, and nothing is done; an empty object is fine."""
    webhook = await tenant.new_webhook()
    path = f"/v1/webhooks/{webhook['id']}/{call}"
    refused = await tenant.owner.post(path, json={"unknown": 1})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/unknown"]
    assert (await tenant.owner.get(f"/v1/webhooks/{webhook['id']}")).json() == {
        key: value for key, value in webhook.items() if key != "secret"
    }
    assert (await tenant.owner.post(path, json={})).status_code == 200
    assert (await tenant.owner.post(path)).status_code == 200


async def test_an_unknown_query_parameter_is_refused_by_every_kind_of_call(tenant: Tenant) -> None:
    """With `query/` and its name, on lists as on the rest."""
    webhook = await tenant.new_webhook()
    one = f"/v1/webhooks/{webhook['id']}"
    calls = [("GET", one), ("DELETE", one), ("POST", f"{one}/disable"), ("GET", "/v1/webhooks"), ("GET", "/v1/ledger")]
    for method, path in [*calls, ("POST", "/v1/events"), ("GET", "/v1/event-types")]:
        answer = await tenant.owner.request(method, f"{path}?foo=1")
        assert answer.status_code == 422, path
        assert [error["pointer"] for error in answer.json()["errors"]] == ["query/foo"]
    assert (await tenant.owner.get(one)).json()["enabled"]
