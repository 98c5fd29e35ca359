"""Named facts about deliveries.

Tree: Problem ── DeliveryNotCancellable, DeliveryInFlight, DeliveryWaitsInOrder, DeliveryWebhookDeleted, PayloadRedacted 409.
"""

from shared.problems import Conflict


class DeliveryNotCancellable(Conflict):
    """The delivery has ended, or a request for it is in flight just now."""

    code, title = "delivery_not_cancellable", "Delivery not cancellable"
    default_detail = "Only a pending or held delivery can be cancelled; this one has ended or is in flight just now."


class DeliveryInFlight(Conflict):
    """A request for the delivery is in flight just now."""

    code, title = "delivery_in_flight", "Delivery in flight"
    default_detail = "A request for this delivery is in flight just now; its outcome comes first."


class DeliveryWaitsInOrder(Conflict):
    """The webhook is ordered, and another delivery of the same key comes before this one."""

    code, title = "delivery_waits_in_order", "Delivery waits in order"
    default_detail = (
        "The webhook is ordered, and another delivery of the same key comes first; resend or cancel that one."
    )


class DeliveryWebhookDeleted(Conflict):
    """The delivery's webhook was deleted: there is no destination any more."""

    code, title = "webhook_deleted", "Webhook deleted"
    default_detail = "The webhook of this delivery was deleted; there is nothing to send to."


class PayloadRedacted(Conflict):
    """The payload of the delivery's event was redacted: what was sent cannot be sent again."""

    code, title = "payload_redacted", "Payload redacted"
    default_detail = (
        "The payload of this event was redacted, as this tenant's retention wants it; it cannot be sent again."
    )
