"""The API of credentials: ``uvicorn --factory --no-proxy-headers credentials.app:create_app``."""

from importlib.metadata import version

from fastapi import FastAPI

from credentials.api_keys.routes import router as api_keys
from credentials.audit.forbidden import install as install_denials
from credentials.audit.routes import router as audit
from credentials.host.routes import router as host
from credentials.hygiene.routes import router as hygiene
from credentials.key_pairs.routes import router as key_pairs
from credentials.key_rotation.routes import router as key_rotation
from credentials.leaked_keys.routes import router as leaked_keys
from credentials.oauth.documentation import install as install_oauth
from credentials.oauth.routes import router as oauth
from credentials.resources import open_resources
from credentials.revocations.routes import router as revocations
from credentials.roles.routes import router as roles
from credentials.security_tokens.routes import router as security_tokens
from credentials.settings import Settings
from credentials.tenants.routes import router as tenants
from credentials.verification.routes import router as verification
from shared.app_factory import create_service_app

__all__ = ["Settings", "create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without ``settings`` they come from the environment. Does no I/O."""
    loaded = settings or Settings.load()
    app = create_service_app(
        title="credentials",
        version=version("credentials"),
        description="Issues, verifies and revokes API keys.",
        settings=loaded,
        has_process=settings is None,
        open_resources=lambda registry: open_resources(loaded, serves=True, registry=registry),
        routers=[
            # First, since siblings wait for it: a route is found by trying one after the other.
            verification,
            tenants,
            api_keys,
            key_rotation,
            key_pairs,
            hygiene,
            leaked_keys,
            host,
            roles,
            security_tokens,
            audit,
            oauth,
            revocations,
        ],
    )
    install_oauth(app)
    install_denials(app)
    return app
