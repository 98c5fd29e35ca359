"""Webhooks, events, deliveries, attempts, lanes.

Outstanding deliveries live in ``deliveries`` and are deleted when they end; what has ended is one immutable row in
``delivery_history``. The table that workers search therefore stays as small as the work at hand, and history is
insert-only. ``events``, ``delivery_history`` and ``attempts`` are partitioned by day on a UUIDv7.
See docs/decisions/0005-outstanding-and-history.md.
"""

from alembic import op

from shared.idempotency.repository import EXPIRY_DDL, TABLE_DDL

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE webhooks (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        lane smallint NOT NULL,
        revision bigint NOT NULL DEFAULT 1,
        name text NOT NULL,
        url text NOT NULL,
        events text[] NOT NULL,
        trigger text NOT NULL CHECK (trigger IN ('first', 'every')),
        format text NOT NULL CHECK (format IN ('standard', 'crm', 'timestamped')),
        crm_signature text NOT NULL CHECK (crm_signature IN ('hex', 'prefixed')),
        signature_header text,
        sealed_headers bytea,
        retry_delays_seconds integer[] NOT NULL,
        timeout_seconds smallint NOT NULL,
        max_in_flight integer NOT NULL,
        rate_per_second integer,
        description text,
        metadata jsonb NOT NULL DEFAULT '{}',
        status text NOT NULL CHECK (status IN ('enabled', 'disabled')),
        disabled_reason text,
        disabled_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz
    )
    """,
    "CREATE INDEX webhooks_realm ON webhooks (tenant_id, environment, id)",
    "CREATE INDEX webhooks_lane ON webhooks (lane) WHERE deleted_at IS NULL",
    "CREATE INDEX webhooks_updated_at ON webhooks (updated_at)",
    """
    CREATE TABLE webhook_secrets (
        id uuid PRIMARY KEY,
        webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
        sealed_secret bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz
    )
    """,
    "CREATE INDEX webhook_secrets_webhook ON webhook_secrets (webhook_id, id)",
    # One row per realm that has webhooks: its revision tells intake in one look whether its picture of them is current.
    """
    CREATE TABLE realm_revisions (
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (tenant_id, environment)
    )
    """,
    """
    CREATE TABLE event_keys (
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        event_id text NOT NULL,
        id uuid NOT NULL,
        PRIMARY KEY (tenant_id, environment, event_id)
    )
    """,
    """
    CREATE TABLE events (
        id uuid NOT NULL PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        event_id text NOT NULL,
        type text NOT NULL,
        subject text,
        ordering_key text,
        occurred_at timestamptz NOT NULL,
        payload bytea NOT NULL,
        matched integer NOT NULL,
        test boolean NOT NULL DEFAULT false
    ) PARTITION BY RANGE (id)
    """,
    "CREATE INDEX events_realm ON events (tenant_id, environment, id)",
    "CREATE INDEX events_subject ON events (tenant_id, environment, subject, id) WHERE subject IS NOT NULL",
    # One delivery per webhook, function and request under `trigger: first`; kept for good, also after the webhook is deleted.
    """
    CREATE TABLE first_matches (
        webhook_id uuid NOT NULL,
        function text NOT NULL,
        subject text NOT NULL,
        event uuid NOT NULL,
        PRIMARY KEY (webhook_id, function, subject)
    )
    """,
    # fillfactor: a delivery is claimed and rescheduled in place.
    """
    CREATE TABLE deliveries (
        id uuid PRIMARY KEY,
        webhook_id uuid NOT NULL,
        event uuid NOT NULL,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'in_flight')),
        attempts integer NOT NULL DEFAULT 0,
        failures integer NOT NULL DEFAULT 0,
        fence bigint,
        next_attempt_at timestamptz NOT NULL DEFAULT now(),
        last_status smallint,
        last_error text
    ) WITH (
        fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0
    )
    """,
    """
    CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, id) WHERE status = 'pending'
    """,
    "CREATE INDEX deliveries_in_flight ON deliveries (webhook_id) WHERE status = 'in_flight'",
    """
    CREATE TABLE delivery_history (
        id uuid NOT NULL PRIMARY KEY,
        webhook_id uuid NOT NULL,
        event uuid NOT NULL,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        status text NOT NULL CHECK (status IN ('delivered', 'failed', 'cancelled')),
        attempts integer NOT NULL,
        finished_at timestamptz NOT NULL DEFAULT now(),
        last_status smallint,
        last_error text
    ) PARTITION BY RANGE (id)
    """,
    "CREATE INDEX delivery_history_webhook ON delivery_history (webhook_id, id)",
    "CREATE INDEX delivery_history_realm ON delivery_history (tenant_id, environment, id)",
    """
    CREATE TABLE attempts (
        delivery_id uuid NOT NULL,
        number integer NOT NULL,
        id uuid NOT NULL,
        started_at timestamptz NOT NULL,
        duration_ms real,
        outcome text NOT NULL CHECK (outcome IN ('delivered', 'failed', 'unknown')),
        error_code text,
        url text,
        request_headers json,
        request_body bytea,
        response_status smallint,
        response_headers json,
        response_body bytea,
        response_truncated boolean NOT NULL DEFAULT false,
        PRIMARY KEY (delivery_id, number)
    ) PARTITION BY RANGE (delivery_id)
    """,
    """
    CREATE TABLE workers (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        seen_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE lanes (
        lane smallint PRIMARY KEY,
        owner uuid,
        fence bigint NOT NULL DEFAULT 0,
        expires_at timestamptz NOT NULL DEFAULT '-infinity'
    ) WITH (fillfactor = 50)
    """,
    "INSERT INTO lanes (lane) SELECT generate_series(0, 63)",
    """
    CREATE TABLE audit_entries (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        action text NOT NULL,
        actor text NOT NULL,
        target text NOT NULL,
        request_id text NOT NULL,
        ip inet,
        changes jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX audit_entries_realm ON audit_entries (tenant_id, environment, id)",
    # A partition holds the ids of one UTC day; UUIDv7 begins with the milliseconds since 1970.
    """
    CREATE FUNCTION day_floor(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT (rpad(lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0'), 32, '0'))::uuid
    $$
    """,
    """
    CREATE PROCEDURE make_partitions(first_day date, last_day date) LANGUAGE plpgsql AS $$
    DECLARE
        parent text;
        day date;
        child text;
    BEGIN
        FOREACH parent IN ARRAY ARRAY['events', 'delivery_history', 'attempts'] LOOP
            FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
                child := parent || '_' || to_char(day, 'YYYYMMDD');
                IF to_regclass(child) IS NULL THEN
                    EXECUTE format(
                        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        child, parent, day_floor(day), day_floor(day + 1)
                    );
                END IF;
            END LOOP;
        END LOOP;
    END
    $$
    """,
    # Ids outside every made day (a clock far off) still have a home; nothing is refused for the date of its id.
    "CREATE TABLE events_default PARTITION OF events DEFAULT",
    "CREATE TABLE delivery_history_default PARTITION OF delivery_history DEFAULT",
    "CREATE TABLE attempts_default PARTITION OF attempts DEFAULT",
    "CALL make_partitions((now() - interval '1 day')::date, (now() + interval '7 days')::date)",
    TABLE_DDL,
    EXPIRY_DDL,
)

_DOWN = (
    """
    DROP TABLE idempotency_keys, audit_entries, lanes, workers, attempts, delivery_history, deliveries, first_matches,
        events, event_keys, realm_revisions, webhook_secrets, webhooks
    """,
    "DROP PROCEDURE make_partitions",
    "DROP FUNCTION day_floor",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
