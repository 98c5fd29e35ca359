"""A transactional outbox for users of SQLAlchemy: an event is kept by the very transaction that it tells of, and sent after it.

``Outbox.add`` in the transaction, ``OutboxRelay.run`` in one or more processes. Whatever dies in between, each committed event
is accepted exactly once: a relay forgets it only after the dispatcher has answered, and its id makes sending it again harmless.
One relay works at a time, so events of transactions that followed one another are published in that order.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import orjson
import structlog
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from shared.principals import Realm
from shared.publisher import repository
from shared.publisher.errors import EventRefusedError, PublisherUnavailableError
from shared.publisher.event import PublishedEvent
from shared.publisher.repository import Kept, Waiting

BATCH_MAX = 200
LOOK_SECONDS = 1.0
"""A relay looks so often without being woken, and tries as often to take over from one that ended."""
_PAUSE_SECONDS_MAX = 15.0

log = structlog.get_logger()


class Publisher(Protocol):
    """Whatever publishes: HttpPublisher, StreamPublisher."""

    async def publish_many(self, events: Sequence[PublishedEvent]) -> None:
        """Publish events in their order; raises EventRefusedError or PublisherUnavailableError."""
        ...


class Outbox:
    """Keeps events in the caller's transaction. ``wake`` is called after the commit, in the same process."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._wake = wake

    async def add(self, session: AsyncSession, event: PublishedEvent) -> str:
        """Keep an event; returns its id. It exists if the transaction commits, and else never did."""
        kept = Kept(
            event_id=event.id,
            tenant_id=event.realm.tenant_id,
            environment=event.realm.environment,
            type=event.type,
            subject=event.subject,
            ordering_key=event.ordering_key,
            occurred_at=event.occurred_at,
            data=event.data_json(),
        )
        await repository.insert(session, kept)
        wake = self._wake
        if wake is not None:
            sqlalchemy_event.listen(session.sync_session, "after_commit", lambda _session: wake(), once=True)
        return event.id


class OutboxRelay:
    """Publishes what the outbox holds. Run it in as many processes as you like."""

    def __init__(self, engine: AsyncEngine, publisher: Publisher, *, look_seconds: float = LOOK_SECONDS) -> None:
        # No transaction is open while the dispatcher is asked: each statement stands for itself.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._publisher = publisher
        self._look_seconds = look_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was committed."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled. While the database or the dispatcher is away, events wait."""
        pause_seconds = self._look_seconds
        while True:
            try:
                async with self._engine.connect() as connection:
                    if await repository.try_lock(connection):
                        await self._relay(connection)
            except (SQLAlchemyError, OSError, PublisherUnavailableError) as exc:
                log.warning("outbox.waiting", reason=type(exc).__name__, detail=str(exc)[:200])
                pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
            else:
                pause_seconds = self._look_seconds
            await self._wait(pause_seconds)

    async def _relay(self, connection: AsyncConnection) -> None:
        """Publish as the one relay, until the publisher or the database fails."""
        try:
            while True:
                self._woken.clear()
                waiting = await repository.find_waiting(connection, limit=BATCH_MAX)
                if waiting:
                    await self._publish(connection, waiting)
                else:
                    await self._wait(self._look_seconds)
        finally:
            # The lock lives as long as the connection: in the pool it would keep every other relay out.
            await connection.invalidate()

    async def _publish(self, connection: AsyncConnection, waiting: Sequence[Waiting]) -> None:
        try:
            await self._publisher.publish_many([_event_of(item) for item in waiting])
        except EventRefusedError as exc:
            if len(waiting) > 1:
                for item in waiting:
                    await self._publish(connection, [item])
                return
            refusal = orjson.dumps({"code": exc.code, "detail": exc.detail, "errors": exc.errors}).decode()
            await repository.refuse(connection, position=waiting[0].position, refusal=refusal)
            log.error("outbox.refused", event_id=waiting[0].event_id, code=exc.code)  # noqa: TRY400 - the code says it all
            return
        await repository.delete(connection, positions=[item.position for item in waiting])
        age = datetime.now(UTC) - waiting[0].created_at
        log.debug("outbox.published", events=len(waiting), oldest_ms=round(age.total_seconds() * 1000, 1))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass


def _event_of(waiting: Waiting) -> PublishedEvent:
    return PublishedEvent(
        realm=Realm(tenant_id=waiting.tenant_id, environment=waiting.environment),
        id=waiting.event_id,
        type=waiting.type,
        subject=waiting.subject,
        ordering_key=waiting.ordering_key,
        occurred_at=waiting.occurred_at,
        data=waiting.data,
    )
