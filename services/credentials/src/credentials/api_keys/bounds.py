"""From where and until when a key may be used; and that it gives nobody more of either, itself included."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import repository
from credentials.api_keys.address_list import is_within
from credentials.api_keys.errors import ScopeEscalation
from credentials.api_keys.grants import is_platform
from shared import typeids
from shared.principals import Principal
from shared.problems import Unauthorized


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An empty list means any address; no ``expires_at``, for ever."""

    allowed_cidrs: Sequence[str]
    expires_at: datetime | None


def check_within(bounds: Bounds, *, creators: Bounds) -> None:
    """Raise ScopeEscalation unless whoever has ``creators`` may give a key these bounds."""
    if not is_within(bounds.allowed_cidrs, creators.allowed_cidrs):
        raise ScopeEscalation(
            f"This credential itself is for these addresses alone: {', '.join(creators.allowed_cidrs)}."
            " What it makes or changes is for no others."
        )
    end = creators.expires_at
    if end is not None and (bounds.expires_at is None or bounds.expires_at > end):
        raise ScopeEscalation(
            f"This credential itself ends at {end.isoformat()}. What it makes or changes ends by then too."
        )


async def check(session: AsyncSession, *, creator: Principal, bounds: Bounds) -> None:
    """Raise ScopeEscalation unless ``creator`` may give a key these bounds: they lie within its own key's, where it has any.

    An access token has its key's. The platform gives any; a security token, which makes no keys, has none.
    """
    if is_platform(creator) or creator.kind == "security_token":
        return
    own = await repository.bounds_of(session, key_id=typeids.decode("key", creator.credential_id))
    if own is None:
        # Deleted since this request began.
        raise Unauthorized(was_presented=True)
    allowed_cidrs, expires_at = own
    check_within(bounds, creators=Bounds(allowed_cidrs=allowed_cidrs, expires_at=expires_at))
