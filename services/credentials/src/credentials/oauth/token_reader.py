"""Reading access tokens in the service that issues them, by its own keys."""

import time

from credentials.oauth.signing_keys import SigningKeys
from shared.access import jwt
from shared.access.jwt import AccessToken


class AccessTokenReader:
    """What verification asks of this feature."""

    def __init__(self, keys: SigningKeys, *, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    async def read(self, text: str) -> AccessToken | None:
        """Return a genuine token in its time, else None; raises what the database raises. What is no token costs no I/O."""
        key_id = jwt.signing_key_id(text)
        key = await self._keys.find(key_id) if key_id is not None else None
        if key is None or key_id is None:
            return None
        return jwt.read(text, key=key, key_id=key_id, issuer=self._issuer, now=time.time())
