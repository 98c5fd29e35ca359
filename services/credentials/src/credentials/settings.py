"""What credentials needs beside what every service needs."""

from pydantic import SecretStr

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment of the API, the worker and the commands."""

    peppers: SecretStr = SecretStr("")
    """``<id>:<base64 of 32 bytes>``, comma-separated; the first hashes new keys, keys are looked up under all of them."""
