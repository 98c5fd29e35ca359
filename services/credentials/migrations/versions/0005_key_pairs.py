"""The pair of keys that is current in each realm."""

from alembic import op

revision = "0005_key_pairs"
down_revision = "0004_security_tokens"

# UNIQUE also makes the indexes by which the deletion of a key finds the pair it is in.
_KEY_PAIRS = """
CREATE TABLE key_pairs (
    tenant_id uuid NOT NULL REFERENCES tenants,
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    public_key_id uuid UNIQUE REFERENCES api_keys ON DELETE SET NULL,
    secret_key_id uuid UNIQUE REFERENCES api_keys ON DELETE SET NULL,
    PRIMARY KEY (tenant_id, environment)
)
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_KEY_PAIRS)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE key_pairs")
