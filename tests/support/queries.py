"""Count what an application says to Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event

from shared.database import Database

_recorded_here: ContextVar[object] = ContextVar("recorded_here", default=None)


@contextmanager
def recorded_statements(database: Database, *, of_this_task: bool = False) -> Iterator[list[str]]:
    """Give the list of SQL statements that the database executes meanwhile.

    ``of_this_task``: without those of tasks that ran before, such as what an application does beside its requests.
    """
    statements: list[str] = []
    mark = object()
    token = _recorded_here.set(mark)

    def note(statement: str) -> None:
        if not of_this_task or _recorded_here.get() is mark:
            statements.append(statement)

    def record(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        note(statement)

    read = database.read

    async def noted_read(statement: str, *values: object) -> Any:
        note(statement)
        return await read(statement, *values)

    event.listen(database.engine.sync_engine, "before_cursor_execute", record)
    # What the driver runs by itself passes no cursor of SQLAlchemy's.
    database.read = noted_read  # type: ignore[method-assign]  # the one way to see them
    try:
        yield statements
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", record)
        database.read = read  # type: ignore[method-assign]  # as above
        _recorded_here.reset(token)
