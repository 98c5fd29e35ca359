"""Siblings that follow the revocation feed, and have heard it before anything is asked of them."""

import asyncio
import contextlib

import httpx2

from shared.access import AccessClient


async def follow(sibling: AccessClient, *, heard_for_seconds: float = 0.0) -> None:
    """Have a sibling follow the feed, as if it had done so for a while already.

    It hears the feed once before: the first answer voids all that a sibling remembers, and on a busy machine it may come late.
    """
    async with asyncio.timeout(10):
        while not sibling.feed.is_live():
            with contextlib.suppress(httpx2.HTTPError):
                await sibling.feed.ask(wait_seconds=0)
    sibling.feed.complete_since -= heard_for_seconds
    sibling.start_following()
