"""What the wallet gateway needs beside what every service needs."""

from pydantic import SecretStr

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment of the API and the worker."""

    service_key: SecretStr = SecretStr("")
    """This service's own key, with ``credentials:verify``."""
