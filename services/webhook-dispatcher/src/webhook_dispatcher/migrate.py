"""Bring the dispatcher's database up to date: ``python -m webhook_dispatcher.migrate``."""

import asyncio

from shared.migrate import upgrade
from webhook_dispatcher.maintenance.restored import notice_restoration
from webhook_dispatcher.settings import Settings

if __name__ == "__main__":
    settings = Settings.load()
    upgrade("webhook_dispatcher", settings.database_url)
    asyncio.run(notice_restoration(settings.database_url, certain=False))
