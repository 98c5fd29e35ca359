"""Reading a request to ``/oauth2/``: its form, and who asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from credentials.oauth.client_authentication import has_bearer, presented_secret, require_verifier
from credentials.oauth.form import read_form
from credentials.oauth.service import Client
from shared.access import PlatformCaller, Principal, count_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was sent, and by whom; ``client`` is None for a bearer that may look at all tokens."""

    form: Mapping[str, str]
    principal: Principal
    client: Client | None


async def asked_by_client(request: Request) -> Asked:
    """Return the request of an authenticated client."""
    return await _of_client(request, await read_form(request))


async def asked_by_client_or_verifier(request: Request) -> Asked:
    """Return the request of an authenticated client, or of a bearer with the scope ``credentials:verify``."""
    form = await read_form(request)
    if not has_bearer(request, form):
        return await _of_client(request, form)
    principal = await require_verifier(request)
    _name_caller(request, principal)
    return Asked(form=form, principal=principal, client=None)


async def _of_client(request: Request, form: Mapping[str, str]) -> Asked:
    client = await request.app.state.resources.oauth.authenticate(presented_secret(request, form), ip=request.state.ip)
    count_request(request, client.principal)
    _name_caller(request, client.principal)
    return Asked(form=form, principal=client.principal, client=client)


def _name_caller(request: Request, principal: Principal) -> None:
    request.state.caller = PlatformCaller(principal=principal, request_id=request.state.request_id, ip=request.state.ip)
