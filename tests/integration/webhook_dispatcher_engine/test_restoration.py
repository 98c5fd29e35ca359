"""A database that was restored: whoever follows events sees all that were there, and all that come."""

import pytest

from support.engine import Dispatcher, event, until
from webhook_dispatcher.maintenance.restored import notice_restoration

_OLD_CLUSTER = 5_000_000_000
"""How many transactions the cluster had made from which the copy came."""


async def _follow(dispatcher: Dispatcher, cursor: str) -> tuple[list[str], str]:
    page = await dispatcher.call("GET", f"/v1/events?after={cursor}")
    return [shown["id"] for shown in page["data"]], page["next_cursor"] or cursor


async def _publish_and_follow(dispatcher: Dispatcher, event_id: str, cursor: str) -> str:
    """Publish one event, and read on to it; returns the cursor behind it."""
    await dispatcher.publish(event(1, id=event_id))

    async def is_seen() -> bool:
        return (await _follow(dispatcher, cursor))[0] == [event_id]

    await until(is_seen, what=f"{event_id} is seen")
    return (await _follow(dispatcher, cursor))[1]


async def _move_to_another_cluster(dispatcher: Dispatcher) -> None:
    await dispatcher.database.execute("UPDATE events SET transaction = transaction + $1", _OLD_CLUSTER)
    await dispatcher.database.execute("UPDATE transaction_numbers SET system_identifier = 1")


async def test_events_go_on_behind_those_of_another_cluster(dispatcher: Dispatcher) -> None:
    """What was restored is seen, and what is written next stands behind it, and behind what was lost with the old cluster."""
    await dispatcher.publish(event(1, id="old"))
    await _move_to_another_cluster(dispatcher)
    assert await _follow(dispatcher, "") == (
        [],
        "",
    )  # as small as this cluster's numbers are, the old ones never settle

    assert await notice_restoration(dispatcher.settings.database_url, certain=False)
    ids, behind_old = await _follow(dispatcher, "")
    assert ids == ["old"]
    behind_new = await _publish_and_follow(dispatcher, "new", behind_old)

    assert not await notice_restoration(dispatcher.settings.database_url, certain=False)
    await _publish_and_follow(dispatcher, "newer", behind_new)
    assert (await _follow(dispatcher, ""))[0] == ["old", "new", "newer"]


async def test_going_back_in_time_is_said_by_an_operator(dispatcher: Dispatcher) -> None:
    """A reader that has seen what is no more does not pass over what comes instead."""
    behind_lost = await _publish_and_follow(dispatcher, "lost", "")
    await dispatcher.database.execute("DELETE FROM events")
    await dispatcher.database.execute("SELECT pg_current_xact_id()")
    assert not await notice_restoration(dispatcher.settings.database_url, certain=False)
    assert await notice_restoration(dispatcher.settings.database_url, certain=True)
    assert await notice_restoration(dispatcher.settings.database_url, certain=True)
    await _publish_and_follow(dispatcher, "instead", behind_lost)


@pytest.mark.parametrize("times", [1, 2])
async def test_the_order_stays_that_of_commits(dispatcher: Dispatcher, times: int) -> None:
    """Also with a number added: an event of a transaction that still runs holds back those after it."""
    for _ in range(times):
        await notice_restoration(dispatcher.settings.database_url, certain=True)
    async with dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_current_xact_id()")
        await dispatcher.publish(event(1, id="held"))
        assert await _follow(dispatcher, "") == ([], "")
        await transaction.rollback()
    await _publish_and_follow(dispatcher, "next", (await _until_first(dispatcher))[1])


async def _until_first(dispatcher: Dispatcher) -> tuple[list[str], str]:
    async def is_seen() -> bool:
        return bool((await _follow(dispatcher, ""))[0])

    await until(is_seen, what="the held event is seen")
    return await _follow(dispatcher, "")
