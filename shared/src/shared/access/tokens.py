"""What a sibling can say of an access token by itself: by the published keys, and by what the revocation feed has told it."""

import time
from collections.abc import Callable

from shared.access import jwt
from shared.access.feed import FeedFollower
from shared.access.jwks import PublishedKeys
from shared.access.jwt import LEEWAY_SECONDS, AccessToken


class TokenReader:
    """Reads tokens of one issuer."""

    def __init__(
        self, keys: PublishedKeys, feed: FeedFollower, *, issuer: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._feed = feed
        self._issuer = issuer
        self._clock = clock

    async def read(self, text: str) -> AccessToken | None:
        """Return a genuine token in its time, else None; raises AccessUnavailableError while the keys are not known."""
        key_id = jwt.signing_key_id(text)
        key = await self._keys.find(key_id) if key_id is not None else None
        if key is None or key_id is None:
            return None
        return jwt.read(text, key=key, key_id=key_id, issuer=self._issuer, now=self._clock())

    def is_certain(self, token: AccessToken) -> bool:
        """Tell whether a genuine token is good without asking: nothing it depends on can have changed since it was issued.

        Where this is False, credentials knows: the address list, what happened before this process followed the feed, and
        whether a change of the key left the token its scopes.
        """
        return (
            not token.is_address_bound
            # Final: who has a leaked key writes the sequence of its tokens, too.
            and not self._keys.is_blocked(token.signing_key_id)
            and self._feed.is_live()
            and token.issued_at - LEEWAY_SECONDS > self._feed.complete_since
            and self._feed.tombstones.allow(*token.targets, read_at=token.sequence)
        )
