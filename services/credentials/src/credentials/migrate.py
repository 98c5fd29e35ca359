"""``python -m credentials.migrate``: bring this service's database to the newest form."""

from credentials.settings import Settings
from shared.migrate import upgrade


def main() -> None:
    """Upgrade; safe to run at any time, also twice at once."""
    upgrade("credentials", Settings.load().database_url)


if __name__ == "__main__":
    main()
