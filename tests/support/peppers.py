"""A second pepper, and settings under it."""

import base64
import os

from pydantic import SecretStr

from credentials.settings import Settings

NEW = f"p2:{base64.b64encode(os.urandom(32)).decode()}"


def rotated(settings: Settings, *peppers: str) -> Settings:
    """Return the settings with other peppers; ``p1`` stands for the first one."""
    old = settings.peppers.get_secret_value()
    text = ",".join(old if pepper == "p1" else pepper for pepper in peppers)
    return settings.model_copy(update={"peppers": SecretStr(text)})
