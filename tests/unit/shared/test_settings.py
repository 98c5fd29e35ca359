"""Settings come from the environment or from files it names, and never show a secret."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import ServiceSettings

MINIMUM = {"CAUSEWAY_DATABASE_URL": "postgresql://u:p@h/d", "CAUSEWAY_QUEUE_URL": "redis://h"}


def test_plain_postgres_urls_get_the_driver() -> None:
    """The URL other tools use is accepted as it is."""
    for scheme in ("postgresql", "postgres", "postgresql+asyncpg"):
        settings = ServiceSettings.load({**MINIMUM, "CAUSEWAY_DATABASE_URL": f"{scheme}://u:p@h/d"})
        assert settings.database_url == "postgresql+asyncpg://u:p@h/d"


def test_a_file_gives_the_value(tmp_path: Path) -> None:
    """NAME_FILE names a file whose content counts, without its line end, also against NAME."""
    secret = tmp_path / "keys"
    secret.write_text("k1:abc\n")
    environment = {**MINIMUM, "CAUSEWAY_SEALING_KEYS": "other", "CAUSEWAY_SEALING_KEYS_FILE": str(secret)}
    assert ServiceSettings.load(environment).sealing_keys.get_secret_value() == "k1:abc"


def test_a_missing_setting_is_named() -> None:
    """The error names what is missing."""
    with pytest.raises(ValidationError, match="queue_url"):
        ServiceSettings.load({"CAUSEWAY_DATABASE_URL": "postgresql://h/d"})


def test_networks_are_read_and_checked() -> None:
    """Comma-separated networks, empty by default; a malformed one stops the start."""
    assert ServiceSettings.load(MINIMUM).trusted_proxies == ()
    settings = ServiceSettings.load({**MINIMUM, "CAUSEWAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128"})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    with pytest.raises(ValidationError, match="trusted_proxies"):
        ServiceSettings.load({**MINIMUM, "CAUSEWAY_TRUSTED_PROXIES": "10.0.0.0/33"})


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an environment given, the process's own is not read."""
    monkeypatch.setenv("CAUSEWAY_LOG_LEVEL", "error")
    assert ServiceSettings.load(MINIMUM).log_level == "info"


def test_secrets_do_not_show() -> None:
    """Neither repr nor str of the settings shows a secret."""
    settings = ServiceSettings.load({**MINIMUM, "CAUSEWAY_SEALING_KEYS": "k1:canary"})
    assert "canary" not in repr(settings) + str(settings)
