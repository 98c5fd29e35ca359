"""The one thing tests do to a server's URL."""

from urllib.parse import urlsplit


def with_path(url: str, path: str) -> str:
    """Return ``url`` with another path: for Postgres the database's name, for Valkey its number."""
    return urlsplit(url)._replace(path=f"/{path}").geturl()
