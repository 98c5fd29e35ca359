"""What Causeway itself reports: the gateway's transfers, and operational events of credentials, webhooks and wallets."""

from collections.abc import Iterator
from typing import Any, Final

from webhook_dispatcher.event_types import json_schema as s
from webhook_dispatcher.event_types.event_type import EventType

_ID: Final = "01j9zq3s8hf3mbq5w7t2k4v6xy"
_LEG: Final = s.record({"wallet": s.text("`home`, or an external wallet's id."), "account": s.text()})
_TRANSFER: Final[dict[str, s.Schema]] = {
    "transfer_id": s.text(),
    "owner_ref": s.text("The client the accounts belong to."),
    "source": _LEG,
    "target": _LEG,
    "amount": s.text("An exact decimal."),
    "currency": s.text("ISO 4217."),
    "reference": s.or_null(s.text()),
}
_TRANSFER_EXAMPLE: Final[dict[str, Any]] = {
    "transfer_id": f"tr_{_ID}",
    "owner_ref": "a1b2c3d4",
    "source": {"wallet": "home", "account": "main"},
    "target": {"wallet": f"ew_{_ID}", "account": "main"},
    "amount": "100.00",
    "currency": "USD",
    "reference": "order-2026-1187",
}
_CREDENTIAL: Final[dict[str, s.Schema]] = {
    "credential_id": s.text(),
    "kind": s.choice("secret", "public", "service", "security_token"),
    "name": s.text(),
    "prefix": s.text("The first characters, by which its owner knows it."),
    "last_four": s.text(),
    "actor": s.text("Who did it: a credential's id, or `leaked_key_report`."),
}
_CREDENTIAL_EXAMPLE: Final[dict[str, Any]] = {
    "credential_id": f"key_{_ID}",
    "kind": "secret",
    "name": "Payout processor",
    "prefix": "cw_sk_live_9fQ2",
    "last_four": "x7Lm",
    "actor": f"key_{_ID}",
}
_WEBHOOK: Final[dict[str, s.Schema]] = {"webhook_id": s.text(), "name": s.text()}
_WEBHOOK_EXAMPLE: Final[dict[str, Any]] = {"webhook_id": f"wh_{_ID}", "name": "Payout processor"}


def gateway_transfer_types() -> Iterator[EventType]:
    """Give the types of transfers that the gateway carries out; the CRM's transfer requests are request types."""
    failure = s.record({"code": s.text(), "detail": s.text()}, "Why.")
    why = {"code": "insufficient_funds", "detail": "The source wallet refused the debit."}
    unclear = {"code": "outcome_unknown", "detail": "The target wallet did not answer, and cannot tell what it did."}
    for outcome, description, reason in (
        ("completed", "A transfer between wallets is complete: both legs are applied.", None),
        ("failed", "A transfer between wallets has failed: neither leg is applied.", why),
        ("reversed", "A transfer between wallets was undone: the debit is refunded.", why),
        ("needs_review", "A transfer's outcome cannot be determined; a person must decide.", unclear),
    ):
        status = "manual_review" if outcome == "needs_review" else outcome
        yield _type(
            f"transfer.{outcome}",
            description,
            {**_TRANSFER, "status": s.constant(status), **({"failure": failure} if reason else {})},
            {**_TRANSFER_EXAMPLE, "status": status, **({"failure": reason} if reason else {})},
        )


def operational_types() -> Iterator[EventType]:
    """Give the types that report on credentials, webhooks and wallets."""
    yield _type(
        "credential.revoked",
        "A credential was revoked; every service refuses it within a second.",
        {**_CREDENTIAL, "revoked_at": s.moment(), "reason": s.choice("requested", "leaked", "regenerated")},
        {**_CREDENTIAL_EXAMPLE, "revoked_at": "2026-07-01T08:15:42Z", "reason": "leaked"},
    )
    yield _type(
        "credential.rotated",
        "A credential has a new version; the one before it works until the overlap ends.",
        {**_CREDENTIAL, "version": s.integer(), "overlap_ends_at": s.or_null(s.moment())},
        {**_CREDENTIAL_EXAMPLE, "version": 2, "overlap_ends_at": "2026-07-02T08:15:42Z"},
    )
    yield from _webhook_types()
    yield _type(
        "wallet.reconciliation_break",
        "An external wallet's records and ours differ.",
        {
            "reconciliation_id": s.text(),
            "external_wallet_id": s.text(),
            "kind": s.choice(
                "missing_at_wallet",
                "unknown_to_us",
                "amount_differs",
                "state_differs",
                "feed_regressed",
                "feed_unreadable",
            ),
            "step_id": s.or_null(s.text()),
            "wallet_txn_id": s.or_null(s.text()),
            "ours": s.or_null(s.anything()),
            "theirs": s.or_null(s.anything()),
        },
        {
            "reconciliation_id": f"rec_{_ID}",
            "external_wallet_id": f"ew_{_ID}",
            "kind": "amount_differs",
            "step_id": f"tr_{_ID}:debit",
            "wallet_txn_id": "txn-100482",
            "ours": {"amount": "100.00", "currency": "USD"},
            "theirs": {"amount": "10.00", "currency": "USD"},
        },
    )


def _webhook_types() -> Iterator[EventType]:
    yield _type(
        "webhook.failing",
        "A webhook's destination fails again and again; its deliveries wait for a probe to succeed.",
        {
            **_WEBHOOK,
            "failing_since": s.moment(),
            "consecutive_failures": s.integer(),
            "last_status": s.or_null(s.integer("The last HTTP status.")),
            "last_error": s.or_null(s.text("The error's code, such as `connect_timeout` or `http_500`.")),
        },
        {
            **_WEBHOOK_EXAMPLE,
            "failing_since": "2026-07-01T08:15:42Z",
            "consecutive_failures": 10,
            "last_status": None,
            "last_error": "connect_timeout",
        },
    )
    yield _type(
        "webhook.disabled",
        "A webhook was disabled; matching events are held until it is enabled.",
        {**_WEBHOOK, "disabled_at": s.moment(), "reason": s.choice("requested", "gone", "failing")},
        {**_WEBHOOK_EXAMPLE, "disabled_at": "2026-07-06T08:15:42Z", "reason": "gone"},
    )
    yield _type(
        "webhook.recovered",
        "A failing webhook's destination answers again; what waited is being delivered.",
        {
            **_WEBHOOK,
            "recovered_at": s.moment(),
            "waiting": s.integer("Deliveries that waited; of more than 10 000 these are told."),
        },
        {**_WEBHOOK_EXAMPLE, "recovered_at": "2026-07-01T09:02:10Z", "waiting": 37},
    )


def _type(name: str, description: str, properties: dict[str, s.Schema], example: dict[str, Any]) -> EventType:
    return EventType(
        name=name,
        function=name.partition(".")[0],
        description=description,
        json_schema=s.document(name, properties),
        example=example,
    )
