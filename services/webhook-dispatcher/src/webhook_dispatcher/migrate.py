"""Bring the dispatcher's database up to date: ``python -m webhook_dispatcher.migrate``."""

from shared.migrate import upgrade
from webhook_dispatcher.settings import Settings

if __name__ == "__main__":
    upgrade("webhook_dispatcher", Settings.load().database_url)
