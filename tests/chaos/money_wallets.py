"""The wallet systems of the money chaos: what each can do, its accounts in three currencies, and how its answers go wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import httpx2

from chaos.money_names import Names
from support.stack import StackProcess
from support.tcp_relay import TcpRelay

OWNER = "client-chaos"
ICE = "ice"
"""An account that is frozen every other moment: what is to be given back to it is refused as often as not."""
CLERK_KEY_ID = "clerk-of-{system}"
_CLERK_SECRET = "the clerk's own key, wholly made up"
_RETRY_SECONDS = 0.2
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One wallet system: a ledger, accounts and a feed of its own, at one of the stack's two wallet servers."""

    service: str
    name: str
    holds: bool = True
    hold_seconds: int | None = None
    is_restored: bool = False
    """Its backup is restored during the run. Nothing arrives late there: a wallet that forgot an id does it once more."""

    @property
    def key(self) -> str:
        return f"{self.service}/{self.name}"


HOME = System(service="home-wallet", name="chaos")
HOLDING = System(service="reference-wallet", name="chaos")
DIRECT = System(service="reference-wallet", name="chaos-direct", holds=False)
ENDING = System(service="reference-wallet", name="chaos-ending", hold_seconds=2)
RESTORED = System(service="reference-wallet", name="chaos-restored", is_restored=True)
NAMED = System(service="reference-wallet", name="chaos-named")
"""The only one that is reached by a name."""
SYSTEMS: Sequence[System] = (HOME, HOLDING, DIRECT, ENDING, RESTORED, NAMED)

ACCOUNTS: dict[str, tuple[str, int, Decimal]] = {"USD": ("w", 12, Decimal("500.00"))}
ACCOUNTS |= {"JPY": ("j", 4, Decimal(50_000)), "BHD": ("b", 4, Decimal("500.000"))}
"""By currency: how its accounts' names begin, how many there are, and what is in each at first."""
CROWD_PLACES: Sequence[System] = (HOME, HOLDING, DIRECT, ENDING)
CROWD_ACCOUNTS = ("crowd0", "crowd1", "crowd2")
"""In USD, and nobody else's: a crowd asks one of them for far more than is in it."""
CROWD_MONEY = Decimal("95.00")

_ANYWHERE: Sequence[dict[str, Any]] = (
    {"kind": "drop", "when": "before", "probability": 0.02},
    {"kind": "drop", "when": "after", "probability": 0.03},
    {"kind": "delay", "when": "after", "delay_ms": 1500, "probability": 0.01},
    {"kind": "status", "status": 500, "when": "after", "probability": 0.02},
    {"kind": "status", "status": 503, "when": "before", "probability": 0.01},
    {"kind": "status", "status": 302, "when": "before", "probability": 0.003},
    {"kind": "html", "status": 502, "when": "after", "probability": 0.01},
    {"kind": "html", "status": 404, "when": "before", "probability": 0.01},
    {"kind": "html", "status": 401, "when": "before", "probability": 0.003},
    {"kind": "html", "status": 403, "when": "after", "probability": 0.003},
    {"kind": "html", "status": 200, "when": "after", "probability": 0.003},
    {"kind": "empty", "probability": 0.005},
    {"kind": "repeat_true", "probability": 0.005},
    {"kind": "truncated", "probability": 0.01},
    {"kind": "drip", "delay_ms": 50, "probability": 0.003},
    {"kind": "endless", "probability": 0.003},
    {"kind": "gzip_bomb", "probability": 0.003},
    {"kind": "deep_json", "probability": 0.003},
    {"kind": "number_amount", "probability": 0.005},
    {"kind": "nan", "probability": 0.003},
    {"kind": "huge_number", "probability": 0.003},
    {"kind": "duplicate_keys", "probability": 0.005},
    {"kind": "wrong_state", "probability": 0.003},
    {"kind": "bad_signature", "probability": 0.01},
    {"kind": "no_signature", "probability": 0.01},
    {"kind": "replayed_signature", "probability": 0.005},
    {"kind": "old_signature", "probability": 0.003},
    {"kind": "altered_body", "probability": 0.003},
)
# Only steps: of a feed's page, another id or amount is what the wallet says, and rightly a break.
_ECHOES: Sequence[dict[str, Any]] = tuple(
    {"kind": kind, "operations": ["put", "commit", "cancel", "get"], "probability": 0.001}
    for kind in ("wrong_id", "wrong_amount", "wrong_currency")
)
_LATE: Sequence[dict[str, Any]] = (
    {"kind": "late", "delay_ms": 1500, "probability": 0.01},
    {"kind": "late", "delay_ms": 14_000, "operations": ["put"], "probability": 0.005},
    # Just when a step's time is over: it races the cancel by which the gateway makes sure.
    {"kind": "late", "delay_ms": 9_900, "operations": ["put", "commit"], "probability": 0.005},
)


def faults_of(system: System) -> Iterator[dict[str, Any]]:
    """Give the rules by which calls of a system go wrong, for as long as they are armed."""
    steps = ["put", "commit", "cancel", "get"]
    for rule in (*_ANYWHERE, *_ECHOES, *_LATE):
        if not system.is_restored:
            yield rule
        elif rule not in _LATE:
            # Its feed is read while everybody waits for it.
            yield {**rule, "operations": steps}


def _accounts() -> Iterator[tuple[str, str, Decimal]]:
    """Give every account of a system: its name, its currency, and what is in it at first."""
    for currency, (letter, count, balance) in ACCOUNTS.items():
        yield from ((f"{letter}{number}", currency, balance) for number in range(count))
    yield ICE, "USD", ACCOUNTS["USD"][2]
    yield from ((name, "USD", CROWD_MONEY) for name in CROWD_ACCOUNTS)


def first_money() -> dict[str, Decimal]:
    """Return what a system starts with, by currency."""
    money = dict.fromkeys(ACCOUNTS, Decimal(0))
    for _, currency, balance in _accounts():
        money[currency] += balance
    return money


async def insist(call: Callable[..., Awaitable[httpx2.Response]], path: str, **sent: Any) -> httpx2.Response:
    """Make a client's call until somebody answers for certain, whatever goes down meanwhile; returns also a refusal."""
    while True:
        try:
            answer = await call(path, **sent)
        except httpx2.TransportError:
            answer = None
        if answer is not None and answer.status_code < _SERVER_ERROR:
            return answer
        await asyncio.sleep(_RETRY_SECONDS)


@dataclass(slots=True, kw_only=True)
class Wallets:
    """The systems, registered at the gateway: ``ids`` by system, as transfers name them."""

    stack: StackProcess
    names: Names
    front: TcpRelay
    """Where ``NAMED`` speaks TLS."""
    ids: dict[System, str] = field(default_factory=dict)
    row_ids: dict[System, str] = field(default_factory=dict)
    """As everything but transfers names them: also home has one."""

    async def prepare(self, random: Random, *, settings: dict[str, Any]) -> None:
        """Register every system, open its accounts, arm its faults."""
        async with self.stack.client("wallet-gateway", "owner") as gateway:
            for system in SYSTEMS:
                wanted = {"base_url": self.new_named_url() if system is NAMED else self.url(system), **settings}
                if system is HOME:
                    made = await gateway.put("/v1/home-wallet", json=wanted)
                else:
                    made = await gateway.post("/v1/external-wallets", json={"name": system.name, **wanted})
                self.row_ids[system] = made.raise_for_status().json()["id"]
                self.ids[system] = "home" if system is HOME else self.row_ids[system]
                await self._furnish(system, made.json(), random)

    def url(self, system: System) -> str:
        """Return the address of a system's server."""
        return str(self.stack.info()["services"][system.service]["url"])

    def new_named_url(self) -> str:
        """Return the address of ``NAMED`` under a name that nobody has asked for yet."""
        return f"https://{self.names.new()}:{self.front.port}"

    def control(self, service: str) -> httpx2.AsyncClient:
        """Return a client of a server's control API."""
        kept = json.loads((self.stack.data_dir / "secrets.json").read_text())
        return self.stack.client(service, kept["wallet_control_token"])

    async def accept_key(self, control: httpx2.AsyncClient, system: System, key: dict[str, Any]) -> None:
        """Tell a system a key as the gateway shows it."""
        path = f"/control/systems/{system.name}/api-keys/{key['api_key_id']}"
        (await insist(control.put, path, json={"secret": key["api_key"]})).raise_for_status()

    async def disarm(self) -> None:
        """Let every wallet tell the truth, and its clock be right, from here on."""
        for service in ("home-wallet", "reference-wallet"):
            async with self.control(service) as control:
                (await insist(control.put, "/control/clock", json={"skew_seconds": 0})).raise_for_status()
                for system in SYSTEMS:
                    if system.service == service:
                        path = f"/control/systems/{system.name}/faults"
                        (await insist(control.delete, path)).raise_for_status()

    async def _furnish(self, system: System, made: dict[str, Any], random: Random) -> None:
        async with self.control(system.service) as control:
            base = f"/control/systems/{system.name}"
            can = {"holds": system.holds, "hold_seconds": system.hold_seconds}
            (await control.put(base, json=can)).raise_for_status()
            await self.accept_key(control, system, made)
            clerk = {"api_key_id": CLERK_KEY_ID.format(system=system.name), "api_key": _CLERK_SECRET}
            await self.accept_key(control, system, clerk)
            for name, currency, balance in _accounts():
                opened = {"owner_ref": OWNER, "currency": currency, "balance": str(balance)}
                (await control.put(f"{base}/wallets/{name}", json=opened)).raise_for_status()
            for rule in faults_of(system):
                seeded = {"count": None, "seed": random.randrange(1_000_000), **rule}
                (await control.post(f"{base}/faults", json=seeded)).raise_for_status()


def clerk_secret() -> str:
    """Return the text of the key with which the clerk signs, the same at every system."""
    return _CLERK_SECRET
