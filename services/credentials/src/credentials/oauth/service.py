"""Rules of access tokens: who gets one and with which scopes, who may look at it, who may end it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.oauth import revoked_tokens_repository
from credentials.oauth.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedTokenType,
)
from credentials.oauth.schemas import Active, Inactive, TokenAnswer, active_of
from credentials.oauth.signing_keys import SigningKeys
from credentials.oauth.token_reader import AccessTokenReader
from credentials.revocations.feed import RevocationFeed
from credentials.verification.judgement import StoredKey
from credentials.verification.service import LocalVerifier
from shared import key_format, typeids
from shared.access import AccessUnavailableError, Address, Principal, jwt
from shared.access.jwt import LEEWAY_SECONDS, TOKEN_ID_PREFIX, TOKEN_SECONDS, AccessToken
from shared.problems import ServiceUnavailable

_REVOKED_FOR_SECONDS = 60.0
"""How much longer than the token itself its revocation is kept: more than clocks differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """What a client presented to prove who it is."""

    client_id: str
    secret: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An authenticated OAuth client: an API key, and where the revocation feed stood when it was found good."""

    principal: Principal
    key: StoredKey
    sequence: int


class OAuth:
    """The authorization server. Functions that write take the request's session and leave the commit to its edge."""

    def __init__(
        self, *, access: LocalVerifier, keys: SigningKeys, reader: AccessTokenReader, feed: RevocationFeed, issuer: str
    ) -> None:
        self._access = access
        self._reader = reader
        self._feed = feed
        self.keys = keys
        self.issuer = issuer

    async def authenticate(self, presented: ClientSecret, *, ip: Address | None) -> Client:
        """Return the client; raises InvalidClient for whatever reason, TooManyGuessesError or ServiceUnavailable."""
        secret = presented.secret.get_secret_value()
        if "." in secret:  # an access token is no secret of a client's, however good it is
            raise InvalidClient
        try:
            verdict = await self._access.judge_caller(secret, ip=ip, client_id=presented.client_id)
        except AccessUnavailableError as exc:
            raise ServiceUnavailable from exc
        if verdict.principal is None or verdict.key is None or verdict.key.kind == "security_token":
            raise InvalidClient
        return Client(principal=verdict.principal, key=verdict.key, sequence=verdict.sequence)

    async def issue(self, client: Client, form: Mapping[str, str]) -> TokenAnswer:
        """Return a token for the client; raises InvalidRequest, UnsupportedGrantType, InvalidScope or InvalidGrant."""
        if "grant_type" not in form:
            raise InvalidRequest("grant_type is missing.")
        if form["grant_type"] != "client_credentials":
            raise UnsupportedGrantType
        scopes = _granted(form.get("scope"), client.principal)
        now = int(time.time())
        expires_at = now + TOKEN_SECONDS
        if client.principal.expires_at is not None:
            # With what a judge's clock may be behind, it still ends with its key.
            expires_at = min(expires_at, int(client.principal.expires_at) - LEEWAY_SECONDS)
        if expires_at <= now:
            raise InvalidGrant
        signing_key = await self.keys.active()
        token = AccessToken(
            token_id=typeids.new_id(),
            signing_key_id=signing_key.id,
            key_id=client.key.key_id,
            key_version=client.key.version,
            tenant_id=client.key.tenant_id,
            environment=client.key.environment,
            kind=client.key.kind,
            scopes=scopes,
            issued_at=now,
            expires_at=expires_at,
            sequence=client.sequence,
            is_address_bound=bool(client.key.allowed_networks),
        )
        text = jwt.sign(token, key=signing_key.private, issuer=self.issuer)
        return TokenAnswer(access_token=text, expires_in=expires_at - now, scope=" ".join(sorted(scopes)))

    async def introspect(
        self, form: Mapping[str, str], *, asker: Principal, client: Client | None
    ) -> Active | Inactive:
        """Tell a client about its own tokens, or a verifier (no client) about any in its reach; raises InvalidRequest."""
        text = _token_in(form)
        try:
            verdict = await self._access.judge(text, ip=None, is_use=False)
        except AccessUnavailableError as exc:
            raise ServiceUnavailable from exc
        token = verdict.token
        if verdict.principal is None or token is None or not _may_know(asker, client, token):
            return Inactive()
        return active_of(token, issuer=self.issuer)

    async def revoke(
        self, session: AsyncSession, form: Mapping[str, str], *, asker: Principal, client: Client | None, actor: Actor
    ) -> None:
        """End a token everywhere within a second; what is no good token is ended already.

        Raises InvalidRequest, UnsupportedTokenType for an API key, or UnauthorizedClient for another client's token or
        one that is out of a verifier's reach.
        """
        text = _token_in(form)
        if key_format.parse(text) is not None:
            raise UnsupportedTokenType
        token = await self._reader.read(text)
        if token is None:
            return
        if not _may_know(asker, client, token):
            raise UnauthorizedClient
        ends_at = datetime.fromtimestamp(token.expires_at + _REVOKED_FOR_SECONDS, UTC)
        if not await revoked_tokens_repository.add(session, token.token_id, ends_at=ends_at):
            return
        target = Target(
            kind="access_token",
            id=typeids.encode(TOKEN_ID_PREFIX, token.token_id),
            tenant_id=token.tenant_id,
            environment=token.environment,
        )
        changes = {"credential_id": token.credential_id}
        await record(session, action="access_token.revoked", actor=actor, target=target, changes=changes)
        await self._feed.announce(session, target_kind="token", target_id=token.token_id, reason="access_token.revoked")


def _granted(asked: str | None, principal: Principal) -> frozenset[str]:
    """Return the scopes of a token: those asked for, or all that the client has; raises InvalidScope."""
    scopes = principal.scopes if asked is None else frozenset(asked.split(" "))
    if not scopes:
        raise InvalidScope("The client has no scopes.")
    if not scopes <= principal.scopes:
        raise InvalidScope
    return scopes


def _token_in(form: Mapping[str, str]) -> str:
    if "token" not in form:
        raise InvalidRequest("token is missing.")
    return form["token"]


def _may_know(asker: Principal, client: Client | None, token: AccessToken) -> bool:
    """Tell whether a token is the client's own, or in the reach of a verifier: of a test one no live token is."""
    if client is not None:
        return client.principal.credential_id == token.credential_id
    return asker.environment == "live" or token.environment == "test"
