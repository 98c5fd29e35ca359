"""The names of one wallet of the money chaos, and the name server that knows them, or for a while knows none of them.

A wallet with a name speaks TLS, as the gateway demands; what it shows is trusted by the stack alone.
"""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from support.certificates import server_context, write_self_signed
from support.name_server import NameServer, chosen_name_server_environment, name_server

_ZONE = "wallets.example"
_LOOPBACK = ip_address("127.0.0.1")


@dataclass(slots=True, kw_only=True)
class Names:
    """``server`` is the only one that is asked, and ``tls`` what is shown under every name. All names mean loopback."""

    server: NameServer
    certificate: Path
    tls: ssl.SSLContext
    _names: list[str] = field(default_factory=list)
    _are_lost: bool = False

    def environment(self) -> dict[str, str]:
        """Return what makes the processes of a stack ask this server, and trust what is shown."""
        return {**chosen_name_server_environment(self.server.port), "SSL_CERT_FILE": str(self.certificate)}

    def new(self) -> str:
        """Return a name that nobody has asked for yet, so that nobody remembers an answer."""
        name = f"n{len(self._names)}.{_ZONE}"
        self._names.append(name)
        if not self._are_lost:
            self.find()
        return name

    def lose(self) -> None:
        """Know no name any more: every question is answered with NXDOMAIN."""
        self._are_lost = True
        self.server.zone.clear()

    def find(self) -> None:
        """Know every name again, also those that transfers under way began with."""
        self._are_lost = False
        self.server.zone |= dict.fromkeys(self._names, (_LOOPBACK,))


@asynccontextmanager
async def wallet_names() -> AsyncIterator[Names]:
    """Serve names until the block ends."""
    with tempfile.TemporaryDirectory(prefix="causeway-names-") as folder:
        certificate = Path(folder) / "wallet.pem"
        write_self_signed(certificate, names=[f"*.{_ZONE}"])
        async with name_server({}) as server:
            yield Names(server=server, certificate=certificate, tls=server_context(certificate))
