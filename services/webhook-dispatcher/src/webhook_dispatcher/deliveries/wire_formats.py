"""What a destination receives: the body in the webhook's format, and the headers that sign it. Pure.

The stored body is made once, at intake, and its ``data`` is the publisher's own bytes. Nothing here parses or serialises it:
numbers such as ``1.10`` and escapes arrive as they were published, and every attempt and resend carries the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Final, Literal

import orjson

from shared.ed25519_signatures import SigningKey
from shared.webhook_signatures import (
    CrmForm,
    SigningSecret,
    crm_signature,
    standard_signature,
    timestamped_signature,
)
from webhook_dispatcher.event_types.event_type import APPROVER_NODE_MAX
from webhook_dispatcher.webhooks.custom_headers import comparable

WireFormat = Literal["standard", "crm", "timestamped"]

#: The header of a format's own signature, unless the webhook names another. ``standard`` has none beside webhook-signature.
DEFAULT_SIGNATURE_HEADERS: Final[dict[WireFormat, str]] = {"crm": "X-Crm-Signature", "timestamped": "X-Signature"}
PREVIOUS_SUFFIX: Final = "-Previous"

_DATA_MARK: Final = b',"data":'
_CRM_FUNCTIONS: Final = {
    "withdrawal": "withdrawal",
    "prop_trading": "propTrading",
    "prop_trading_live": "propTradingLive",
    "transfer": "transfer",
    "kyc": "kyc",
}
_CRM_OUTCOMES: Final = {
    "rejected": "reject",
    **{f"approved.node.{node}": f"approve.node.{node}" for node in range(1, APPROVER_NODE_MAX + 1)},
}


class PayloadFormError(ValueError):
    """A stored body is not the JSON object that intake makes. Not quoted: it is a client's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedEvent:
    """An event as it is stored.

    ``payload`` is ``{"id":…,"type":…,"timestamp":…,"subject":…,"data":…}`` without spaces, and ends in ``,"test":true}`` when the
    event is a test.
    """

    id: str
    type: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningConfig:
    """How a webhook's requests are signed. ``secrets`` are those active now, newest first, at least one.

    ``signing_keys``, newest first, sign as ``v1a`` beside them; most webhooks have none.
    """

    wire_format: WireFormat
    secrets: Sequence[SigningSecret]
    crm_form: CrmForm = "hex"
    signature_header: str | None = None
    signing_keys: Sequence[SigningKey] = ()

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("a webhook has at least one active secret")

    @property
    def own_header(self) -> str | None:
        """Return the header of the format's own signature; ``standard`` has none beside webhook-signature."""
        if self.wire_format == "standard":
            return None
        return self.signature_header or DEFAULT_SIGNATURE_HEADERS[self.wire_format]

    @property
    def own_headers(self) -> frozenset[str]:
        """Return what no custom header may stand for, by comparable names, during a rotation or not."""
        name = self.own_header
        return frozenset() if name is None else frozenset({comparable(name), comparable(name + PREVIOUS_SUFFIX)})


def parse_secret(text: str, *, wire_format: WireFormat) -> SigningSecret:
    """Read a webhook's own secret in the form its format asks for; raises MalformedSecretError."""
    return SigningSecret.parse_standard(text) if wire_format == "standard" else SigningSecret.parse_printable(text)


def render(wire_format: WireFormat, *, event: RenderedEvent, webhook_name: str) -> bytes:
    """Return the body to send; raises PayloadFormError for a stored body that intake did not make."""
    if wire_format != "crm":
        return event.payload
    return b'{"source":%b,"target":{"name":%b},"version":"1.0.0","data":%b}' % (
        _crm_source(event.type),
        orjson.dumps(webhook_name),
        _data_of(event.payload),
    )


def crm_slug(event_type: str) -> str | None:
    """Return the CRM's name of an event type, ``crm.webhooks.requests.…``; None for a type that the CRM does not have."""
    function, _, outcome = event_type.partition(".")
    if function not in _CRM_FUNCTIONS or outcome not in _CRM_OUTCOMES:
        return None
    return f"crm.webhooks.requests.{_CRM_FUNCTIONS[function]}.{_CRM_OUTCOMES[outcome]}"


def sign(signing: SigningConfig, *, event_id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of one attempt at ``timestamp`` (unix seconds, of this attempt).

    The ``webhook-*`` headers are sent in every format, with one ``v1`` signature for each active secret and one ``v1a`` for each
    active key; ``timestamped`` carries
    one ``s=`` for each as well. The CRM's header holds a single value that its receivers compare whole, so during a rotation
    it is made with the newest secret, and the one before it signs ``<header>-Previous``. Newest, since a receiver that has been
    given the new secret must work from then on, while one that has not yet is retried and loses nothing; with the oldest, a
    receiver that is up to date would fail until the overlap ends.
    """
    headers = [
        ("content-type", "application/json"),
        ("user-agent", user_agent()),
        ("webhook-id", event_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", _webhook_signature(signing, event_id=event_id, timestamp=timestamp, body=body)),
    ]
    name = signing.own_header
    if name is None:
        return headers
    keys = [secret.key for secret in signing.secrets]
    if signing.wire_format == "timestamped":
        headers.append((name, timestamped_signature(keys, timestamp=timestamp, body=body)))
        return headers
    for header, key in zip((name, name + PREVIOUS_SUFFIX), keys, strict=False):
        headers.append((header, crm_signature(key, body, form=signing.crm_form)))
    return headers


def _webhook_signature(signing: SigningConfig, *, event_id: str, timestamp: int, body: bytes) -> str:
    keys = [secret.key for secret in signing.secrets]
    symmetric = standard_signature(keys, message_id=event_id, timestamp=timestamp, body=body)
    if not signing.signing_keys:
        return symmetric
    content = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    return " ".join([symmetric, *(key.sign(content) for key in signing.signing_keys)])


@cache
def user_agent() -> str:
    """Return ``Causeway/<version>``, the version of the installed dispatcher."""
    return f"Causeway/{version('webhook-dispatcher')}"


def _crm_source(event_type: str) -> bytes:
    """Return the envelope's ``source``.

    For types that the CRM does not have (``transfer.completed``, ``payment.*``, own types) it says so, with our names: such an
    event is delivered all the same, and cannot be taken for one of the CRM's.
    """
    slug = crm_slug(event_type)
    function = event_type.partition(".")[0]
    if slug is None:
        return orjson.dumps({"service": "causeway", "group": function, "event": event_type})
    group = f"crm.webhooks.groups.requests.{_CRM_FUNCTIONS[function]}"
    return orjson.dumps({"service": "requests", "group": group, "event": slug})


def _data_of(payload: bytes) -> bytes:
    """Return the raw bytes of ``data``, and of the ``test`` mark where one follows it, which so stands in the envelope too.

    The mark of ``data`` is found by its first occurrence: the strings before it have every quote escaped, so none can hold it.
    """
    head, mark, tail = payload.partition(_DATA_MARK)
    if not mark or not head.startswith(b"{") or len(tail) < len(b"0}") or not tail.endswith(b"}"):
        raise PayloadFormError("the stored body has no data where intake puts it")
    return tail[:-1]
