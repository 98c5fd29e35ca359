"""The environment of each process of the stack, with the secrets that are generated once per data folder."""

import base64
import secrets
from collections.abc import Mapping

from embedded.plan import CREDENTIALS, DISPATCHER, GATEWAY, WALLETS, Service, StackPlan
from embedded.private_file import KeptValues
from shared.key_format import generate

EGRESS_ALLOW_CIDRS = "127.0.0.0/8,::1/128"
_KEY_BYTES = 32


class Environments:
    """Call for a service's environment once its database is known."""

    def __init__(self, plan: StackPlan, kept: KeptValues, inherited: Mapping[str, str]) -> None:
        self._plan = plan
        self._kept = kept
        self._inherited = dict(inherited)
        self.platform_key = kept.get_or_make("platform_key", lambda: generate("service", "live"))
        self.wallet_control_token = kept.get_or_make("wallet_control_token", lambda: secrets.token_urlsafe(_KEY_BYTES))
        self.gateway_publisher_key = kept.get_or_make("gateway_publisher_key", lambda: generate("service", "live"))
        self.service_key = kept.get_or_make("service_key", lambda: generate("service", "live"))

    def of_service(self, service: Service, *, database_url: str, queue_url: str) -> dict[str, str]:
        """Return the inherited environment with this service's settings over it."""
        own = {
            "CAUSEWAY_DATABASE_URL": database_url,
            "CAUSEWAY_QUEUE_URL": queue_url,
            "CAUSEWAY_CREDENTIALS_URL": self._plan.url(CREDENTIALS),
            "CAUSEWAY_DISPATCHER_URL": self._plan.url(DISPATCHER),
            "CAUSEWAY_GATEWAY_URL": self._plan.url(GATEWAY),
            "CAUSEWAY_SEALING_KEYS": self._kept.get_or_make(f"sealing_keys.{service.name}", lambda: _keyring("seal-1")),
            "CAUSEWAY_EGRESS_ALLOW_CIDRS": EGRESS_ALLOW_CIDRS,
            "CAUSEWAY_LOG_LEVEL": self._plan.log_level,
            "CAUSEWAY_LOG_FORMAT": "console",
            "PYTHONUNBUFFERED": "1",
        }
        if service is CREDENTIALS:
            own["CAUSEWAY_PEPPERS"] = self._kept.get_or_make("peppers", lambda: _keyring("pepper-1"))
        elif service in WALLETS:
            # The local stack is where a wallet is to fail when it is told to.
            own |= {"CAUSEWAY_CONTROL_TOKEN": self.wallet_control_token, "CAUSEWAY_WALLET_FAULTS": "1"}
        else:
            own["CAUSEWAY_SERVICE_KEY"] = self.service_key
        if service is GATEWAY:
            own["CAUSEWAY_PUBLISHER_KEY"] = self.gateway_publisher_key
        # A `<NAME>_FILE` of the caller's would win over our value.
        inherited = {name: value for name, value in self._inherited.items() if name.removesuffix("_FILE") not in own}
        return inherited | own


def _keyring(key_id: str) -> str:
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"
