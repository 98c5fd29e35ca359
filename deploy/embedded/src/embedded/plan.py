"""What to start and where, decided before anything starts: read from the environment, no effects but looking at ports."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import PortInUseError, SettingError
from embedded.ports import LOOPBACK, free_port, is_free

DATA_DIR_DEFAULT = "var/embedded"
PORT_BASE_DEFAULT = 8000
_PORT_BASE_MAX = 65_000
_WORKERS_MAX = 64
_DEMO_RECEIVER_OFFSET = 10


@dataclass(frozen=True)
class Service:
    """One of the services: its name is its distribution, unless it is `implemented_by` another; `package` is imported."""

    name: str
    port_offset: int
    implemented_by: str = ""

    @property
    def package(self) -> str:
        return self.implemented_by or self.database

    @property
    def database(self) -> str:
        return self.name.replace("-", "_")


CREDENTIALS = Service("credentials", port_offset=1)
DISPATCHER = Service("webhook-dispatcher", port_offset=2)
GATEWAY = Service("wallet-gateway", port_offset=3)
SERVICES = (CREDENTIALS, DISPATCHER, GATEWAY)
# Third parties, for the demo and for tests: one server twice, each with its own database, and no worker.
REFERENCE_WALLET = Service("reference-wallet", port_offset=11)
HOME_WALLET = Service("home-wallet", port_offset=12, implemented_by="reference_wallet")
WALLETS = (REFERENCE_WALLET, HOME_WALLET)
#: Everything with an API and a database, in the order of starting.
PARTS = (*WALLETS, *SERVICES)


@dataclass(frozen=True)
class StackPlan:
    """Everything that the environment decides. `api_ports` and `workers` are by service name; wallets have no workers."""

    data_dir: Path
    api_ports: Mapping[str, int]
    demo_receiver_port: int
    workers: Mapping[str, int]
    demo: bool
    postgres_url: str | None
    queue_url: str | None
    log_level: str

    def url(self, service: Service) -> str:
        return f"http://{LOOPBACK}:{self.api_ports[service.name]}"

    @property
    def demo_receiver_url(self) -> str:
        return f"http://{LOOPBACK}:{self.demo_receiver_port}"


def plan_from(environment: Mapping[str, str]) -> StackPlan:
    """Read the plan; raises SettingError or PortInUseError."""
    demo = environment.get("CAUSEWAY_DEMO", "1") not in {"0", "", "false", "no", "off"}
    base = _number(environment, "CAUSEWAY_PORT_BASE", PORT_BASE_DEFAULT, lowest=0, highest=_PORT_BASE_MAX)
    offsets = [part.port_offset for part in PARTS] + ([_DEMO_RECEIVER_OFFSET] if demo else [])
    ports = iter(_ports(base, offsets))
    return StackPlan(
        data_dir=data_dir_from(environment),
        api_ports={part.name: next(ports) for part in PARTS},
        demo_receiver_port=next(ports, 0),
        workers={
            CREDENTIALS.name: 1,
            DISPATCHER.name: _number(environment, "CAUSEWAY_DISPATCHER_WORKERS", 1, lowest=1, highest=_WORKERS_MAX),
            GATEWAY.name: _number(environment, "CAUSEWAY_GATEWAY_WORKERS", 1, lowest=1, highest=_WORKERS_MAX),
        },
        demo=demo,
        postgres_url=environment.get("CAUSEWAY_POSTGRES_URL") or None,
        queue_url=environment.get("CAUSEWAY_QUEUE_URL") or None,
        # Calm by default: the demo is what a newcomer should see. `info` shows each unit of work.
        log_level=environment.get("CAUSEWAY_LOG_LEVEL", "warning"),
    )


def data_dir_from(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("CAUSEWAY_DATA_DIR") or DATA_DIR_DEFAULT).resolve()


def _ports(base: int, offsets: list[int]) -> Iterator[int]:
    taken: set[int] = set()
    for offset in offsets:
        port = base + offset if base else free_port(taken=frozenset(taken))
        if not is_free(port):
            raise PortInUseError(
                f"port {port} is in use by another program.\n"
                "Stop that program, or move the whole stack: CAUSEWAY_PORT_BASE=9000 make run\n"
                "(CAUSEWAY_PORT_BASE=0 takes any free ports)"
            )
        taken.add(port)
        yield port


def _number(environment: Mapping[str, str], name: str, default: int, *, lowest: int, highest: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        raise SettingError(f"{name} must be a whole number from {lowest} to {highest}, not {text!r}")
    return int(text)
