"""Upkeep of the dispatcher's storage, run by cron in one worker at a time."""
