"""Retention: how long history is kept, whose is kept for less, and payloads that are redacted before that."""
