"""A message of a broker, as the intake judges it. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from webhook_dispatcher.events.event import Event, InvalidEventError, parse_streamed
from webhook_dispatcher.intake.entries import derived_event_id, detail_of
from webhook_dispatcher.rejected_events.rejection import Rejection, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``entry_id`` names it within ``source``, the same each time it is delivered."""

    source: str
    """Which queue it came from, such as ``kafka:events``."""
    entry_id: str
    body: bytes
    sent_ms: int = 0
    """When the broker took it, in milliseconds since 1970, if it says so; the same each time."""
    is_named: bool = True
    """Whether the broker itself tells two messages with the same bytes apart; else an event must carry its id."""

    @property
    def default_event_id(self) -> str:
        """Return the id of an event that came without one: the same each time the message is read, so it is one event."""
        return derived_event_id(self.source.encode(), self.entry_id.encode(), milliseconds=self.sent_ms)

    def event(self) -> Event:
        """Return the event. Raises InvalidEventError."""
        if not self.is_named and read(self.body).event_id is None:
            # Without a name, nothing tells a second delivery of one message from a second message.
            parse_streamed(self.body, default_id=lambda: self.default_event_id, now=datetime.now(UTC))
            detail = "this queue names no message, so the event needs an `id`, or the message a message id"
            raise InvalidEventError("missing_id", [{"pointer": "/id", "detail": detail}])
        return parse_streamed(self.body, default_id=lambda: self.default_event_id, now=datetime.now(UTC))

    def rejected(self, exc: InvalidEventError) -> Rejection:
        """Return what is kept of it in the list of rejected events."""
        return Rejection(
            source=self.source,
            entry_id=self.entry_id,
            reason=exc.code,
            detail=detail_of(exc),
            body=self.body,
            default_event_id=self.default_event_id,
        )
