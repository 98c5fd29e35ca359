"""The JSON of published events, cut into its fields as spans of bytes: ``data`` passes as its publisher wrote it. Pure."""

import msgspec


class EventIn(msgspec.Struct, forbid_unknown_fields=True):
    """The wire form of ``POST /v1/events``. Types are checked by hand, so that every fault has a pointer."""

    type: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    subject: msgspec.Raw = msgspec.Raw()
    occurred_at: msgspec.Raw = msgspec.Raw()
    ordering_key: msgspec.Raw = msgspec.Raw()


class StreamEventIn(EventIn, forbid_unknown_fields=True):
    """The same on the stream, where no credential names the realm."""

    tenant_id: msgspec.Raw = msgspec.Raw()
    environment: msgspec.Raw = msgspec.Raw()


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch."""

    events: list[msgspec.Raw]


decode_event = msgspec.json.Decoder(EventIn).decode
decode_stream_event = msgspec.json.Decoder(StreamEventIn).decode
decode_batch = msgspec.json.Decoder(BatchIn).decode
FIELDS = frozenset(EventIn.__struct_fields__)
STREAM_FIELDS = frozenset(StreamEventIn.__struct_fields__)
