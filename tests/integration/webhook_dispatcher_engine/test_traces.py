"""A trace goes from its publisher over the accepted event to each attempt, and to the collector that is named."""

import json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.databases import Databases
from support.engine import Dispatcher, engine_settings, event, running_dispatcher, running_engine
from support.receiver import Answer, running_receiver

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"


async def _publish(dispatcher: Dispatcher, traceparent: str) -> str:
    answer = await dispatcher.api.post("/v1/events", json=event(), headers={"traceparent": traceparent})
    assert answer.status_code == 202, answer.text
    event_id: str = answer.json()["ids"][0]
    return event_id


async def test_attempts_reach_the_collector_in_the_publishers_trace(databases: Databases, queue_url: str) -> None:
    """Published over HTTP with a trace: one span of the publication, one of each attempt; from the stream: a trace of its own."""
    spans: list[Span] = []

    def collect(_method: str, _path: str, body: bytes) -> bytes:
        request = ExportTraceServiceRequest.FromString(body)
        spans.extend(span for group in request.resource_spans for part in group.scope_spans for span in part.spans)
        return b""

    async with running_receiver() as collector, databases.temporary("webhook_dispatcher") as url:
        collector.control = collect
        settings = engine_settings(url, queue_url, traces_url=f"{collector.base_url}/v1/traces", traces_share=1.0)
        async with running_dispatcher(settings) as dispatcher:
            hook = await dispatcher.new_hook(retry_delays_seconds=[1])
            hook.answers = [Answer(status=500)]
            async with running_engine(settings):
                await dispatcher.until_status(await _publish(dispatcher, _PARENT), "delivered")
                await dispatcher.add(event(2))
                await dispatcher.until_settled(events=2)
            assert all("traceparent" not in item.headers for item in hook.received), (
                "destinations are promised no such header"
            )
    mine = [span for span in spans if span.trace_id.hex() == _TRACE]
    [published] = [span for span in mine if span.name == "events.publish"]
    attempts = [span for span in mine if span.name == "delivery.attempt"]
    assert published.parent_span_id.hex() == "00f067aa0ba902b7"
    assert [span.parent_span_id for span in attempts] == [published.span_id] * 2
    [accepted] = [span for span in spans if span.name == "event.accept"]
    [other] = [span for span in spans if span.trace_id == accepted.trace_id and span.name == "delivery.attempt"]
    assert other.parent_span_id == accepted.span_id


async def test_without_a_collector_the_trace_is_in_the_log(dispatcher: Dispatcher) -> None:
    """The publisher's trace is kept with the event; a malformed one is ignored and refuses nothing."""
    kept = await _publish(dispatcher, _PARENT)
    ignored = await _publish(dispatcher, "nonsense")
    rows = await dispatcher.database.fetch("SELECT event_id, traceparent, payload FROM events")
    assert {row["event_id"]: row["traceparent"] for row in rows} == {kept: _PARENT, ignored: None}
    assert all(_TRACE not in json.loads(row["payload"]) for row in rows)
