"""Everything of credentials that has a lifetime; opened by the API, the worker and the commands."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from credentials.audit.denials import Denials
from credentials.audit.proof import AuditKeys
from credentials.background import Background, Run
from credentials.hygiene.scope_uses import ScopeUses
from credentials.last_uses import LastUses, SecurityTokenUses
from credentials.leaked_keys.service import LeakedKeys
from credentials.merged_writes import MergedWrites
from credentials.oauth.service import OAuth
from credentials.oauth.signing_keys import SigningKeys
from credentials.oauth.token_reader import AccessTokenReader
from credentials.peppers.rehashes import Rehashes
from credentials.revocations.feed import RevocationFeed
from credentials.revocations.followers import Followers
from credentials.revocations.hints import RevocationHints
from credentials.revocations.progress import expose_progress
from credentials.security_tokens.issuer import TokenIssuer
from credentials.settings import Settings
from credentials.verification.key_hashing import PepperRing
from credentials.verification.service import LocalVerifier
from shared.access.guesses import GuessLimiter
from shared.database import Database
from shared.queue import open_queue
from shared.sealing import SealingKeyring

_LISTEN_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What requests and jobs use."""

    database: Database
    peppers: PepperRing
    feed: RevocationFeed
    followers: Followers
    last_uses: LastUses
    scope_uses: ScopeUses
    rehashes: Rehashes
    security_token_uses: SecurityTokenUses
    token_issuer: TokenIssuer
    denials: Denials
    leaked_keys: LeakedKeys
    access: LocalVerifier
    sealing: SealingKeyring
    oauth: OAuth
    background: Background

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the readiness checks."""
        return {
            "database": self.database.check,
            "revocation_feed": self.feed.check,
            "background": self.background.check,
        }


@asynccontextmanager
async def open_resources(
    settings: Settings, *, serves: bool, registry: CollectorRegistry | None = None
) -> AsyncIterator[Resources]:
    """Open everything; with ``serves``, also follow the revocation feed and write the last uses, as each API process does.

    Raises shared.sealing.KeyringMalformedError for peppers or sealing keys that are missing or malformed.
    """
    peppers = PepperRing.from_text(settings.peppers)
    sealing = SealingKeyring.from_text(settings.sealing_keys)
    token_issuer = TokenIssuer(peppers=peppers, sealing=sealing)
    database = _open_database(settings, "credentials", pool_size=settings.database_pool_size)
    feed_database = _open_database(settings, "credentials-feed", pool_size=1)
    hints = _open_hints(settings)
    feed = RevocationFeed(feed_database, hint=hints.publish_soon)
    followers, background = Followers(), Background()
    if registry is not None:
        expose_progress(registry, feed=feed, followers=followers)
    last_uses, scope_uses = LastUses(database), ScopeUses(database)
    security_token_uses, rehashes = SecurityTokenUses(database), Rehashes(database, peppers=peppers)
    merged_writes: tuple[MergedWrites[Any, Any], ...] = (last_uses, scope_uses, rehashes, security_token_uses)
    denials, signing_keys = Denials(database), SigningKeys(database, sealing, feed=feed)
    access_tokens = AccessTokenReader(signing_keys, issuer=settings.issuer)
    access = LocalVerifier(
        database=database,
        peppers=peppers,
        feed=feed,
        last_uses=last_uses,
        scope_uses=scope_uses,
        rehashes=rehashes,
        security_token_uses=security_token_uses,
        guesses=GuessLimiter(per_minute=settings.guesses_per_minute),
        access_tokens=access_tokens,
        denials=denials,
    )
    oauth = OAuth(access=access, keys=signing_keys, reader=access_tokens, feed=feed, issuer=settings.issuer)
    leaked_keys = LeakedKeys(database, peppers=peppers, token_issuer=token_issuer, feed=feed)
    runs: dict[str, Run] = {
        "revocation_feed": feed.follow,
        "leaked_keys": leaked_keys.run,
        "hints": partial(hints.listen, feed.look_soon),
        "denials": denials.run,
        **{writes.NAME: writes.run for writes in merged_writes},
    }
    resources = Resources(
        database=database,
        peppers=peppers,
        feed=feed,
        followers=followers,
        last_uses=last_uses,
        scope_uses=scope_uses,
        rehashes=rehashes,
        security_token_uses=security_token_uses,
        token_issuer=token_issuer,
        denials=denials,
        leaked_keys=leaked_keys,
        access=access,
        sealing=sealing,
        oauth=oauth,
        background=background,
    )
    try:
        async with background.running(runs if serves else {}):
            yield resources
    finally:
        for writes in merged_writes:
            await writes.flush()
        await denials.flush(at_once=True)
        await hints.aclose()
        await feed_database.aclose()
        await database.aclose()


def _open_database(settings: Settings, application_name: str, *, pool_size: int) -> Database:
    keys = AuditKeys.from_sealing_keys(settings.sealing_keys)
    return Database.open(
        settings.database_url, application_name=application_name, pool_size=pool_size, session_info=keys.session_info
    )


def _open_hints(settings: Settings) -> RevocationHints:
    return RevocationHints(
        queue=open_queue(settings.queue_url),
        listen_queue=open_queue(settings.queue_url, socket_timeout_seconds=_LISTEN_TIMEOUT_SECONDS),
    )
