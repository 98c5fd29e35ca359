"""Order within a key: of an ordered webhook's deliveries with one key, one is pending or in flight, the others are blocked.

``ordering_keys`` counts what is outstanding of a key. Who accepts events and who ends deliveries both change its row, and so
take turns: a delivery is made blocked exactly when one before it is outstanding. What ends, however it ends, lets the next one
of its key go, by the trigger. ``position`` is the order in which deliveries of a key were accepted.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_UP = (
    "ALTER TABLE webhooks ADD COLUMN ordered boolean NOT NULL DEFAULT false",
    "ALTER TABLE deliveries ADD COLUMN order_key text, ADD COLUMN position bigint",
    "ALTER TABLE deliveries DROP CONSTRAINT deliveries_status_check",
    """
    ALTER TABLE deliveries ADD CONSTRAINT deliveries_status_check
        CHECK (status IN ('pending', 'in_flight') OR (status = 'blocked' AND order_key IS NOT NULL))
    """,
    "CREATE SEQUENCE delivery_positions",
    "CREATE INDEX deliveries_order ON deliveries (webhook_id, order_key, position) WHERE order_key IS NOT NULL",
    """
    CREATE TABLE ordering_keys (
        webhook_id uuid NOT NULL,
        key text NOT NULL,
        outstanding bigint NOT NULL,
        PRIMARY KEY (webhook_id, key)
    ) WITH (fillfactor = 70)
    """,
    # The rows are locked in the order in which those who accept events lock them. Each statement sees what was committed before
    # it began, so what was accepted while we waited for its key is seen by the last one.
    """
    CREATE FUNCTION let_next_in_order_go() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM gone WHERE order_key IS NOT NULL) THEN
            RETURN NULL;
        END IF;
        PERFORM 1 FROM ordering_keys WHERE (webhook_id, key) IN (
            SELECT webhook_id, order_key FROM gone WHERE order_key IS NOT NULL
        ) ORDER BY webhook_id, key FOR UPDATE;
        UPDATE ordering_keys k SET outstanding = k.outstanding - ended.count
        FROM (
            SELECT webhook_id, order_key, count(*) AS count FROM gone WHERE order_key IS NOT NULL GROUP BY 1, 2
        ) ended
        WHERE k.webhook_id = ended.webhook_id AND k.key = ended.order_key;
        DELETE FROM ordering_keys WHERE outstanding = 0 AND (webhook_id, key) IN (
            SELECT webhook_id, order_key FROM gone WHERE order_key IS NOT NULL
        );
        UPDATE deliveries SET status = 'pending', next_attempt_at = clock_timestamp() WHERE status = 'blocked' AND id IN (
            SELECT next.id FROM (
                SELECT DISTINCT webhook_id, order_key FROM gone WHERE order_key IS NOT NULL AND status <> 'blocked'
            ) ended
            CROSS JOIN LATERAL (
                SELECT id FROM deliveries WHERE webhook_id = ended.webhook_id AND order_key = ended.order_key
                ORDER BY position LIMIT 1
            ) next
        );
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER deliveries_let_next_in_order_go AFTER DELETE ON deliveries REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION let_next_in_order_go()
    """,
)

_DOWN = (
    "DROP TRIGGER deliveries_let_next_in_order_go ON deliveries",
    "DROP FUNCTION let_next_in_order_go",
    "DROP TABLE ordering_keys",
    "DROP INDEX deliveries_order",
    "UPDATE deliveries SET status = 'pending' WHERE status = 'blocked'",
    "ALTER TABLE deliveries DROP CONSTRAINT deliveries_status_check",
    "ALTER TABLE deliveries ADD CONSTRAINT deliveries_status_check CHECK (status IN ('pending', 'in_flight'))",
    "ALTER TABLE deliveries DROP COLUMN order_key, DROP COLUMN position",
    "DROP SEQUENCE delivery_positions",
    "ALTER TABLE webhooks DROP COLUMN ordered",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
