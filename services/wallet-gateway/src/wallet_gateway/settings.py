"""What the wallet gateway needs beside what every service needs."""

from pydantic import Field, SecretStr

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment of the API and the worker."""

    service_key: SecretStr = SecretStr("")
    """This service's own key, with ``credentials:verify``."""

    wallet_connections: int = Field(default=1000, ge=20, le=20_000)
    """Connections to wallets that one process opens at most, to all of them together: half for reads, a third for transfers."""
    tenant_calls_in_flight: int = Field(default=250, ge=1, le=20_000)
    """Calls to one tenant's wallets at a time, in each process and for each kind; never more than half of all."""
    wallet_reads_in_flight: int = Field(default=32, ge=1, le=1000)
    """Reads of one wallet at a time, in each process; so many connections a wallet that hangs can hold by reads."""
    wallet_writes_in_flight: int = Field(default=64, ge=1, le=1000)
    """Steps of transfers at one wallet at a time, in each process."""
    wallet_reads_per_second: int = Field(default=200, ge=1, le=100_000)
    wallet_writes_per_second: int = Field(default=1000, ge=1, le=100_000)
    wallet_resolves_per_second: int = Field(default=20, ge=1, le=1000)
    """Calls past an open breaker: resolving unknown outcomes, and operators' tests."""

    publisher_key: SecretStr = SecretStr("")
    """A service key with ``events:publish``: what transfers have come to is published with it."""
    transfer_slots: int = Field(default=1000, ge=1, le=5000)
    """Transfers that one worker carries out at a time."""
    tenant_transfer_slots: int = Field(default=250, ge=1, le=5000)
    """Of these, for one tenant: with several wallets that hang it still leaves room for the others."""
    transfer_lease_seconds: float = Field(default=5.0, ge=2)
    """How long transfers stay with a worker that no longer says it lives; so long a kill -9 can delay them."""
    transfer_review_after_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    """After so long a step whose outcome is still unknown goes to a person."""

    balances_deadline_seconds: float = Field(default=5.0, ge=0.1, le=60)
    """How long the balances of one client over all wallets may take; what has not come by then is told as missing."""
    balance_rows_kept: int = Field(default=50_000, ge=1, le=10_000_000)
    """Balances that one process remembers, of all wallets together."""

    reconciliation_interval_seconds: int = Field(default=300, ge=0, le=86_400)
    """Between two scheduled looks at a wallet's feed; 0 = only on demand."""

    audit_days: int = Field(default=730, ge=90, le=3650)
    """How long audit entries of the gateway are kept."""
