"""Traces: what is carried on of a publisher's, what is made of it, and that nothing is where nothing is sent."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from webhook_dispatcher.tracing import OFF, OtlpTracing, open_tracing, parse_traceparent, trace_id_of

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        (_PARENT, _PARENT),
        (f"00-{_TRACE}-00f067aa0ba902b7-00", f"00-{_TRACE}-00f067aa0ba902b7-00"),
        (f"cc-{_TRACE}-00f067aa0ba902b7-01-what-the-future-brings", _PARENT),
        (f"cc-{_TRACE}-00f067aa0ba902b7-01", _PARENT),
        (f"cc-{_TRACE}-00f067aa0ba902b7-01.future", None),
        (f"00-{_TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{_TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{_TRACE}-{'0' * 16}-01", None),
        (_PARENT.upper(), None),
        (f" {_PARENT}", None),
        (f"{_PARENT}\n", None),
        (_PARENT[:-1], None),
        (f"cc-{_TRACE}-00f067aa0ba902b7-01-{'x' * 300}", None),
        ("\u0660" * 55, None),
        ("", None),
        (None, None),
    ],
)
def test_what_is_well_formed_is_carried_on(text: str | None, carried: str | None) -> None:
    """W3C Trace Context §3.2; whatever else a publisher sends is as if it had sent nothing."""
    assert parse_traceparent(text) == carried
    assert trace_id_of(carried) == (_TRACE if carried else None)


def test_without_a_url_a_publishers_trace_is_carried_and_none_is_made() -> None:
    """Nothing is prepared either."""
    tracing = open_tracing(service="test", url="", share=1.0)
    assert tracing is OFF
    for given in (_PARENT, None):
        with tracing.span("events.publish", given) as carried:
            assert carried == given


def test_without_a_url_nothing_of_it_is_loaded() -> None:
    """A worker that sends no traces has none of the exporter's code in memory."""
    code = (
        "import sys; import webhook_dispatcher.worker, webhook_dispatcher.app; from webhook_dispatcher.tracing import"
        " open_tracing; open_tracing(service='x', url='', share=1.0);"
        " print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'requests'))])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    assert printed.stdout.strip() == "[]"


def _past(tracing: OtlpTracing, traceparent: str | None, *, failed: bool = False) -> None:
    tracing.past_span(
        "delivery.attempt",
        traceparent,
        started_at=datetime(2026, 7, 1, tzinfo=UTC),
        duration_ms=12.5,
        failed=failed,
        attributes={"causeway.attempt": 2, "causeway.error_code": None},
    )


def test_an_attempt_belongs_to_its_publication_and_that_to_the_publishers_trace() -> None:
    """Publisher → publication → attempt, with the attempt's own times; what is None is left out."""
    exporter = InMemorySpanExporter()
    tracing = OtlpTracing(service="test", url="", share=0.0, exporter=exporter)
    with tracing.span("events.publish", _PARENT) as carried:
        pass
    _past(tracing, carried, failed=True)
    tracing.close()
    published, attempt = exporter.get_finished_spans()
    assert published.parent
    assert attempt.parent
    assert attempt.start_time
    assert attempt.end_time
    assert attempt.attributes
    assert f"{published.context.trace_id:032x}" == f"{attempt.context.trace_id:032x}" == _TRACE
    assert f"{published.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert attempt.parent.span_id == published.context.span_id
    assert attempt.end_time - attempt.start_time == 12_500_000
    assert (attempt.status.is_ok, dict(attempt.attributes)) == (False, {"causeway.attempt": 2})


def test_the_share_is_of_traces_that_begin_here() -> None:
    """A publisher that wants its trace sent, or not, is followed; of our own none is sent with a share of 0."""
    exporter = InMemorySpanExporter()
    tracing = OtlpTracing(service="test", url="", share=0.0, exporter=exporter)
    with tracing.span("event.accept", None) as carried:
        assert carried is not None
        assert not int(carried[-2:], 16) & 1, "it is marked as not sampled"
    _past(tracing, carried)
    _past(tracing, f"00-{_TRACE}-00f067aa0ba902b7-00")
    _past(tracing, _PARENT)
    tracing.close()
    assert len(exporter.get_finished_spans()) == 1
