"""Settings of the dispatcher's API and worker."""

from typing import Literal

from pydantic import Field, SecretStr

from shared.settings import ServiceSettings
from webhook_dispatcher.retention.policy import RETENTION_DAYS_MIN


class Settings(ServiceSettings):
    """``CAUSEWAY_*``; see ServiceSettings for the common ones."""

    service_key: SecretStr = SecretStr("")
    """This service's own key, with ``credentials:verify``."""

    stream: str = "causeway:events"
    stream_group: str = "webhook-dispatcher"
    stream_claim_idle_seconds: float = Field(default=5.0, gt=0)
    """An entry read by a consumer that has not committed it for so long is taken over by another."""

    lease_seconds: float = Field(default=5.0, ge=2)
    """How long a lane stays with a worker that no longer renews; so long a kill -9 can delay its lanes."""

    publish_bytes_in_flight: int = Field(default=64 * 1024 * 1024, ge=32 * 1024 * 1024)
    """Bytes of published bodies that one API process holds at once, half of them for one realm; more wait, then get 503."""

    retention_days: int = Field(default=90, ge=RETENTION_DAYS_MIN, le=3650)
    """How long events, deliveries and attempts are kept; a tenant may have less."""

    rejected_event_days: int = Field(default=30, ge=1, le=3650)
    """How long rejected events are kept."""

    first_match_days: int = Field(default=730, ge=RETENTION_DAYS_MIN, le=3650)
    """How long `trigger: first` remembers that a request was told to a webhook; longer than any request is open."""

    audit_days: int = Field(default=730, ge=90, le=3650)
    """How long audit entries of the dispatcher are kept."""

    recovery_rate_per_second: int = Field(default=100, ge=1, le=10_000)
    """Deliveries that a recovery makes pending again each second, at most; a webhook's own rate is shared with what is new."""

    slots: int = Field(default=500, ge=1, le=5000)
    """Requests in flight at once, per worker."""

    retry_slots_share: float = Field(default=0.5, gt=0, le=1)
    """How much of the slots, of a worker and of a webhook, retries may have: so many due at once delay no first attempt."""

    breaker_failures: int = Field(default=10, ge=1, le=10_000)
    """Failures in a row after which a webhook's deliveries are held and it is sent probes alone."""

    breaker_probe_seconds: int = Field(default=30, ge=1, le=86_400)
    """The wait for the first probe; it doubles with each that fails, up to ``breaker_probe_seconds_max``."""

    breaker_probe_seconds_max: int = Field(default=600, ge=1, le=86_400)

    disable_after_days: float = Field(default=5.0, ge=0, le=365)
    """How long a webhook may fail without a success before it is disabled; 0 = never."""

    traces_url: str = ""
    """Where traces are sent by OTLP over HTTP, such as ``http://collector:4318/v1/traces``; empty = nowhere."""

    traces_share: float = Field(default=0.1, ge=0, le=1)
    """How many of the traces that begin with us are sent; whether others are is their publisher's choice."""

    kafka_url: str = ""
    """A source of events besides the stream: brokers such as ``kafka-1:9092,kafka-2:9092``; empty = none. See deploy/README."""
    kafka_topic: str = "causeway.events"
    kafka_group: str = "webhook-dispatcher"
    kafka_tls: bool = False
    kafka_sasl: Literal["plain", "scram-sha-256", "scram-sha-512"] = "scram-sha-512"
    kafka_username: str = ""
    """Empty = no authentication."""
    kafka_password: SecretStr = SecretStr("")

    rabbitmq_url: SecretStr = SecretStr("")
    """The same from RabbitMQ, such as ``amqps://user:password@host/virtualhost``; empty = none."""
    rabbitmq_queue: str = "causeway.events"

    nats_url: SecretStr = SecretStr("")
    """The same from NATS JetStream: servers such as ``nats://user:password@host:4222``, with commas between; empty = none."""
    nats_stream: str = "CAUSEWAY"
    nats_subject: str = "causeway.events"
    nats_durable: str = "webhook-dispatcher"
