"""``python -m wallet_gateway.migrate``: bring this service's database to the newest form."""

from shared.migrate import upgrade
from wallet_gateway.settings import Settings


def main() -> None:
    """Upgrade; safe to run at any time, also twice at once."""
    upgrade("wallet_gateway", Settings.load().database_url)


if __name__ == "__main__":
    main()
