"""webhook-dispatcher: events from a queue and over HTTP become signed, retried and logged deliveries to webhooks."""

__version__ = "0.1.0"
