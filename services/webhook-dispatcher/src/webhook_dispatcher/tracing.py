"""Traces from a publication to the attempts it leads to, by W3C Trace Context; sent by OTLP over HTTP where a URL is set.

An event carries a ``traceparent``: the publisher's own, or, where traces are sent, that of the span in which it was accepted. It
stays with us: destinations get no header that they are not promised. Without a URL nothing of OpenTelemetry is even imported.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Literal, Protocol

# Version ff is not valid; of later versions than 00 the first parts are read, and what follows is not kept.
_FORM = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL
)
TRACEPARENT_CHARS_MAX = 256
_SEND_TIMEOUT_SECONDS = 5.0
_QUEUE_MAX = 4096

SpanName = Literal["events.publish", "event.accept", "delivery.attempt"]


def parse_traceparent(text: str | None) -> str | None:
    """Return a ``traceparent`` as it is carried on, None for one that is missing or malformed: it is ignored, not refused."""
    found = _FORM.fullmatch(text) if text and len(text) <= TRACEPARENT_CHARS_MAX else None
    if found is None or (found[1] == "00" and found[3]):
        return None
    return f"00-{found[2]}"


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the id of the trace, for the log."""
    return traceparent[3:35] if traceparent else None


class Tracing(Protocol):
    """Makes spans; ``is_on`` tells whether they go anywhere, so that nobody prepares what nobody reads."""

    is_on: bool

    def span(self, name: SpanName, traceparent: str | None) -> AbstractContextManager[str | None]:
        """Give the ``traceparent`` that is to be carried on."""
        ...

    def past_span(
        self,
        name: SpanName,
        traceparent: str | None,
        *,
        started_at: datetime,
        duration_ms: float,
        failed: bool,
        attributes: Mapping[str, Any],
    ) -> None:
        """Note what has happened already."""
        ...

    def close(self) -> None:
        """Send what is left, within a few seconds."""
        ...


class TracingOff:
    """Carries on what publishers sent, and makes nothing."""

    is_on = False

    @contextmanager
    def span(self, name: SpanName, traceparent: str | None) -> Iterator[str | None]:  # noqa: ARG002 - the port's
        yield traceparent

    def past_span(self, *_args: Any, **_fields: Any) -> None:
        pass

    def close(self) -> None:
        pass


class OtlpTracing:
    """Sends spans in the background, in batches; what finds no room in the queue is dropped."""

    is_on = True

    def __init__(self, *, service: str, url: str, share: float, exporter: Any = None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - 20 MiB that are not wanted where no traces are sent
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 - see above

        self._api = trace
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
        )
        exporter = exporter or OTLPSpanExporter(endpoint=url, timeout=_SEND_TIMEOUT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE_MAX))
        self._tracer = self._provider.get_tracer("causeway")

    @contextmanager
    def span(self, name: SpanName, traceparent: str | None) -> Iterator[str | None]:
        span = self._tracer.start_span(name, context=self._context(traceparent))
        try:
            yield self._text(span.get_span_context())
        except BaseException as exc:
            span.set_status(self._api.StatusCode.ERROR, type(exc).__name__)
            raise
        finally:
            span.end()

    def past_span(
        self,
        name: SpanName,
        traceparent: str | None,
        *,
        started_at: datetime,
        duration_ms: float,
        failed: bool,
        attributes: Mapping[str, Any],
    ) -> None:
        start_ns = int(started_at.timestamp() * 1e9)
        span = self._tracer.start_span(
            name,
            context=self._context(traceparent),
            kind=self._api.SpanKind.CLIENT,
            start_time=start_ns,
            attributes={key: value for key, value in attributes.items() if value is not None},
        )
        if failed:
            span.set_status(self._api.StatusCode.ERROR)
        span.end(end_time=start_ns + int(duration_ms * 1e6))

    def close(self) -> None:
        self._provider.shutdown()

    def _context(self, traceparent: str | None) -> Any:
        """Return the parent, or an empty context: none is ever taken from what happens to run around us."""
        from opentelemetry.context import Context  # noqa: PLC0415 - loaded since __init__

        if traceparent is None:
            return Context()
        _, trace_id, span_id, flags = traceparent.split("-")
        parent = self._api.SpanContext(
            trace_id=int(trace_id, 16),
            span_id=int(span_id, 16),
            is_remote=True,
            trace_flags=self._api.TraceFlags(int(flags, 16)),
        )
        return self._api.set_span_in_context(self._api.NonRecordingSpan(parent), Context())

    def _text(self, context: Any) -> str:
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


OFF = TracingOff()


def open_tracing(*, service: str, url: str, share: float) -> Tracing:
    """Return what sends traces to the URL; with an empty one, what makes none."""
    return OtlpTracing(service=service, url=url, share=share) if url else OFF
