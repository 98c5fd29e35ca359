"""Answering those who follow the feed."""

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from credentials.revocations.feed import FeedStaleError, RevocationFeed
from credentials.revocations.followers import Followers
from credentials.revocations.repository import Revocation
from credentials.revocations.schemas import FollowerView, Revocations, RevocationsQuery, row_of
from shared.database import is_unavailable
from shared.problems import ServiceUnavailable


async def read(feed: RevocationFeed, followers: Followers, *, query: RevocationsQuery) -> Revocations:
    """Return what follows ``query.after``, waiting for news as long as asked; raises ServiceUnavailable."""
    if query.service is not None and query.applied is not None:
        followers.report(service=query.service, instance=query.instance, applied=query.applied, took_ms=query.took_ms)
    try:
        rows: Sequence[Revocation] = ()
        if query.after is None:
            sequence = await feed.wait(after=-1, seconds=0)
        else:
            sequence = await feed.wait(after=query.after, seconds=query.wait_ms / 1000)
            if sequence > query.after:
                rows = await feed.rows_after(query.after)
    except FeedStaleError as exc:
        raise ServiceUnavailable("The revocation feed cannot be read just now.") from exc
    except (SQLAlchemyError, OSError, TimeoutError) as exc:
        if is_unavailable(exc) or isinstance(exc, TimeoutError):
            raise ServiceUnavailable from exc
        raise
    return Revocations(
        sequence=max(sequence, rows[-1].sequence) if rows else sequence,
        data=[row_of(row) for row in rows],
        services=progress_of(followers),
    )


def progress_of(followers: Followers) -> list[FollowerView]:
    """Return how far each process has come."""
    return [
        FollowerView(
            service=report.service,
            instance=report.instance,
            applied=report.applied,
            took_ms=report.took_ms,
            seen_ms_ago=round(seconds * 1000),
        )
        for report, seconds in followers.all()
    ]
