"""Wire shape of ``GET /v1/host``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ServiceName = Literal["credentials", "webhook-dispatcher", "wallet-gateway"]


class ServiceAddresses(BaseModel):
    """Where a service is, and where it explains itself."""

    url: str
    docs_url: str
    openapi_url: str


def _show_example(schema: dict[str, Any]) -> None:
    host = host_of(
        issuer="https://credentials.example",
        credentials_url="https://credentials.example",
        dispatcher_url="https://webhooks.example",
        gateway_url="https://wallets.example",
    )
    schema["examples"] = [host.model_dump()]


class Host(BaseModel):
    """What an integrator's configuration screen shows."""

    model_config = ConfigDict(json_schema_extra=_show_example)

    services: dict[ServiceName, ServiceAddresses]
    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    authorization_server_metadata_url: str
    docs_url: str


def host_of(*, issuer: str, credentials_url: str, dispatcher_url: str, gateway_url: str) -> Host:
    """Return the addresses that follow from the services' public base URLs, and from whom access tokens name as their issuer."""
    return Host(
        services={
            "credentials": _addresses(credentials_url),
            "webhook-dispatcher": _addresses(dispatcher_url),
            "wallet-gateway": _addresses(gateway_url),
        },
        issuer=issuer,
        token_endpoint=f"{issuer}/oauth2/token",
        introspection_endpoint=f"{issuer}/oauth2/introspect",
        revocation_endpoint=f"{issuer}/oauth2/revoke",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        authorization_server_metadata_url=f"{issuer}/.well-known/oauth-authorization-server",
        docs_url=f"{credentials_url.rstrip('/')}/docs",
    )


def _addresses(url: str) -> ServiceAddresses:
    base = url.rstrip("/")
    return ServiceAddresses(url=base, docs_url=f"{base}/docs", openapi_url=f"{base}/openapi.json")
