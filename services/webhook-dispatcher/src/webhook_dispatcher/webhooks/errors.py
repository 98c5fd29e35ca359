"""Named facts about webhooks.

Tree: Problem ── DestinationNotAllowed 422 · SecretMalformed 422 · TooManySecrets 409 · WebhookDisabled 409 ·
WebhookLimitReached 409
"""

from shared.problems import Conflict, ValidationFailed


class DestinationNotAllowed(ValidationFailed):
    """The URL is not one that requests may be sent to: its form, scheme, port or address is refused."""

    code, title = "destination_not_allowed", "Destination not allowed"

    def __init__(self, detail: str = "The URL is not one that requests may be sent to.") -> None:
        super().__init__(detail, errors=[{"pointer": "/url", "detail": detail}])


class SecretMalformed(ValidationFailed):
    """The own secret does not have the form that the webhook's format asks for."""

    code, title = "secret_malformed", "Secret malformed"

    def __init__(self, detail: str = "The secret does not have the form that this format asks for.") -> None:
        super().__init__(detail, errors=[{"pointer": "/secret", "detail": detail}])


class TooManySecrets(Conflict):
    """So many secrets overlap that one more would make the signature header too long."""

    code, title = "too_many_secrets", "Too many secrets"
    default_detail = (
        "Too many earlier secrets still sign: wait until their overlap ends, or rotate with overlap_seconds 0."
    )


class WebhookDisabled(Conflict):
    """The webhook is disabled; its deliveries are held until it is enabled."""

    code, title = "webhook_disabled", "Webhook disabled"
    default_detail = "The webhook is disabled; enable it first. Its deliveries are held meanwhile."


class WebhookLimitReached(Conflict):
    """The realm has as many webhooks as it may: each event is weighed against all of them."""

    code, title = "webhook_limit_reached", "Webhook limit reached"
    default_detail = (
        "This tenant has 500 webhooks in this environment, and cannot have more; delete one that is not used."
    )
