"""``python -m reference_wallet.migrate``: bring this wallet's database to the newest form."""

from reference_wallet.settings import Settings
from shared.migrate import upgrade


def main() -> None:
    """Upgrade; safe to run at any time, also twice at once."""
    upgrade("reference_wallet", Settings.load().database_url)


if __name__ == "__main__":
    main()
