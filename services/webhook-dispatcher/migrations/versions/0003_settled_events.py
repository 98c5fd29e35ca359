"""Events in the order in which they are settled, for readers that follow them; a day's partition made by itself.

``events.transaction`` is the transaction that wrote the row. Row ids are taken before the commit, so a reader that has passed one
may see a smaller one appear later. Rows of transactions older than all that still run are settled: readers go up to there, in the
order (transaction, id), and whatever is committed later stands after it. Rows from before this migration carry its own.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UP = (
    # The default is stable, not volatile: it is evaluated once for the rows that exist, and no table is rewritten.
    "ALTER TABLE events ADD COLUMN transaction bigint NOT NULL DEFAULT (pg_current_xact_id()::text)::bigint",
    "CREATE INDEX events_settled ON events (tenant_id, environment, transaction, id)",
    "DROP PROCEDURE make_partitions",
    # Rows of the day that landed in the default partition move along: with one of them in it, the day could never be attached.
    """
    CREATE PROCEDURE make_partition(parent text, day date) LANGUAGE plpgsql AS $$
    DECLARE
        child text := parent || '_' || to_char(day, 'YYYYMMDD');
        columns text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('make_partition'));
        IF to_regclass(child) IS NOT NULL THEN
            RETURN;
        END IF;
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
            WHERE attrelid = parent::regclass AND attnum > 0 AND NOT attisdropped;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
        EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM %I WHERE %I >= %L AND %I < %L', child, columns, columns,
            parent || '_default', partition_column(parent), day_floor(day), partition_column(parent), day_floor(day + 1));
        EXECUTE format('DELETE FROM %I WHERE %I >= %L AND %I < %L',
            parent || '_default', partition_column(parent), day_floor(day), partition_column(parent), day_floor(day + 1));
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, child, day_floor(day), day_floor(day + 1));
    END
    $$
    """,
    """
    CREATE FUNCTION partition_column(parent text) RETURNS name LANGUAGE sql STABLE AS $$
        SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
        WHERE partrelid = parent::regclass
    $$
    """,
)

_DOWN = (
    "DROP PROCEDURE make_partition",
    "DROP FUNCTION partition_column",
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
    "ALTER TABLE events DROP COLUMN transaction",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
