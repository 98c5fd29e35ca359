"""``GET /v1/host``: what an integrator's configuration screen shows."""

from support.credentials_service import CredentialsService


async def test_any_credential_sees_where_everything_is(service: CredentialsService) -> None:
    """The three services, the OAuth endpoints, the signing keys and the documentation; without a credential nothing."""
    tenant_id = await service.new_tenant()
    bare = service.client((await service.new_key(tenant_id))["key"])
    settings = service.settings
    for client in (bare, service.platform, service.client(service.service_key)):
        answer = await client.get("/v1/host")
        assert answer.status_code == 200
        shown = answer.json()
        assert {name: part["url"] for name, part in shown["services"].items()} == {
            "credentials": settings.credentials_url,
            "webhook-dispatcher": settings.dispatcher_url,
            "wallet-gateway": settings.gateway_url,
        }
        assert shown["token_endpoint"] == f"{settings.credentials_url}/oauth2/token"
        assert shown["jwks_uri"] == f"{settings.credentials_url}/.well-known/jwks.json"
        assert shown["docs_url"] == f"{settings.credentials_url}/docs"
    assert (await service.client().get("/v1/host")).status_code == 401
