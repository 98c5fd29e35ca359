"""What people and machines do to wallets while money moves: keys, addresses, names, clocks, holds, frozen accounts.

Each hand has a random of its own, so that a seed repeats what it does whatever the others do.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import httpx2

from chaos.money_backup import until_read
from chaos.money_struck import count_struck
from chaos.money_wallets import HOLDING, HOME, ICE, NAMED, SYSTEMS, System, Wallets, insist
from support.tcp_relay import TcpRelay

_SKEWS_SECONDS = (600, -600, 200, -200)
_REMEMBERED_SECONDS = 5.5
"""So long and no longer an answer of a name server may be remembered."""
_LONGER_THAN_A_STEP_SECONDS = 12.0
_NEW_NAMES = 5
"""So often a new name is lost for each time that one is which is in use."""
_NOBODY_LISTENS = "http://127.0.0.1:40009"
_CONFLICT = 409


@dataclass(slots=True, kw_only=True)
class Hands:
    """All of them. ``done`` counts what was done; ``planted``: orders that wallets made by themselves, by system."""

    wallets: Wallets
    seed: int
    relay: TcpRelay
    name_is_lost: asyncio.Event
    """Set once a name that was in use is found by nobody."""
    name_is_back: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once that is over, and calls have met it."""
    pace: float = 1.0
    """1: each hand moves every few seconds; less: faster."""
    done: Counter[str] = field(default_factory=Counter)
    planted: dict[str, System] = field(default_factory=dict)
    _is_shut: bool = False

    async def move(self) -> None:
        """Let every hand do its work until cancelled."""
        hands: list[Callable[[Random], Awaitable[None]]] = [self._rotate, self._edit_address, self._lose_name]
        hands += [self._end_holds_of_home, self._skew_clock, self._flap_ice, self._reconcile, self._plant]
        async with asyncio.TaskGroup() as group:
            for hand in hands:
                group.create_task(self._go_on(hand))

    async def put_right(self) -> None:
        """End what a hand was in the middle of: every wallet knows its key, and every address leads somewhere."""
        if self._is_shut:
            await self.relay.open()
        self.wallets.names.find()
        await self._let_home_hold_for(None)
        async with self._gateway() as gateway:
            await self._edit_to(gateway, HOLDING, self.wallets.url(HOLDING))
            for system in SYSTEMS:
                shown = await insist(gateway.post, f"{self._path(system)}/api-key/reveal")
                async with self.wallets.control(system.service) as control:
                    await self.wallets.accept_key(control, system, shown.json())

    async def _go_on(self, hand: Callable[[Random], Awaitable[None]]) -> None:
        random = Random(f"{self.seed}{hand.__name__}")
        while True:
            await asyncio.sleep(random.uniform(1, 5) * self.pace)
            await hand(random)

    def _gateway(self) -> httpx2.AsyncClient:
        return self.wallets.stack.client("wallet-gateway", "owner")

    async def _rotate(self, random: Random) -> None:
        """Replace a key: with an overlap, or so that the wallet learns of the new key after the gateway signs with it."""
        system, overlap_seconds = random.choice(SYSTEMS), random.choice((0, 3))
        path = self._path(system) + "/api-key"
        async with self._gateway() as gateway, self.wallets.control(system.service) as control:
            rotated = await insist(gateway.post, f"{path}/rotate", json={"overlap_seconds": overlap_seconds})
            if rotated.status_code == _CONFLICT:
                return
            await asyncio.sleep(random.uniform(0, 1) * self.pace)
            # Shown again: the rotation may have been made, and its answer lost.
            shown = await insist(gateway.post, f"{path}/reveal")
            await self.wallets.accept_key(control, system, shown.json())
        self.done["key_rotated"] += 1

    async def _edit_address(self, random: Random) -> None:
        """Move a wallet to another way to the same server, sometimes over one that leads nowhere."""
        here = self.wallets.url(HOLDING)
        bad = {"tls_bad": here.replace("http://", "https://"), "refused": _NOBODY_LISTENS}
        good = {"relay": f"http://127.0.0.1:{self.relay.port}", "direct": here}
        async with self._gateway() as gateway:
            if random.random() < 0.5:
                name, url = random.choice(sorted(bad.items()))
                await self._edit_to(gateway, HOLDING, url)
                self.done[f"address_{name}"] += 1
                await asyncio.sleep(random.uniform(0.3, 1.5))
            name, url = random.choice(sorted(good.items()))
            await self._edit_to(gateway, HOLDING, url)
            self.done[f"address_{name}"] += 1
        if name == "relay" and random.random() < 0.5:
            self._is_shut = True
            await self.relay.shut()
            await asyncio.sleep(random.uniform(0.3, 1.5))
            await self.relay.open()
            self._is_shut = False
            self.done["relay_shut"] += 1

    async def _edit_to(self, gateway: httpx2.AsyncClient, system: System, url: str) -> None:
        path = self._path(system)
        (await insist(gateway.patch, path, json={"base_url": url})).raise_for_status()

    async def _lose_name(self, random: Random) -> None:
        """Let a wallet's name be unknown: the one in use, at full pace for longer than a step is tried, or a new one."""
        is_in_use = self.done["name_lost"] * _NEW_NAMES <= self.done["new_name_lost"]
        self.wallets.names.lose()
        if not is_in_use:
            async with self._gateway() as gateway:
                await self._edit_to(gateway, NAMED, self.wallets.new_named_url())
            await asyncio.sleep(random.uniform(0.3, 1.5))
        else:
            await self.wallets.front.shut()
            await self.wallets.front.open()
            await asyncio.sleep(_REMEMBERED_SECONDS)
            self.name_is_lost.set()
            await asyncio.sleep(_LONGER_THAN_A_STEP_SECONDS * self.pace)
            while not (await until_read(lambda: count_struck(self.wallets.stack)))["calls_without_an_address"]:  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.2)
            self.name_is_back.set()
        self.wallets.names.find()
        self.done["name_lost" if is_in_use else "new_name_lost"] += 1

    async def _end_holds_of_home(self, random: Random) -> None:
        """Let home's holds end by themselves for a while, before commits that come late; the gateway is told, or is not."""
        is_told = random.random() < 0.5
        slow = {"kind": "delay", "when": "before", "operations": ["commit"], "delay_ms": 1300, "count": 10}
        async with self._gateway() as gateway, self.wallets.control(HOME.service) as control:
            armed = await insist(control.post, f"/control/systems/{HOME.name}/faults", json=slow)
            armed.raise_for_status()
            for seconds, rest_seconds in ((1, random.uniform(2, 4)), (None, random.uniform(1, 3) * self.pace)):
                await self._let_home_hold_for(seconds)
                if is_told:
                    await insist(gateway.post, "/v1/home-wallet/test-connection")
                await asyncio.sleep(rest_seconds)
        self.done["home_holds_end_told" if is_told else "home_holds_end"] += 1

    async def _let_home_hold_for(self, seconds: int | None) -> None:
        async with self.wallets.control(HOME.service) as control:
            wanted = {"holds": HOME.holds, "hold_seconds": seconds}
            (await insist(control.put, f"/control/systems/{HOME.name}", json=wanted)).raise_for_status()

    async def _skew_clock(self, random: Random) -> None:
        """Put a server's clock wrong for a moment: by more than signatures bear, or by less."""
        service = random.choice(("home-wallet", "reference-wallet"))
        skew = random.choice(_SKEWS_SECONDS)
        async with self.wallets.control(service) as control:
            for seconds in (skew, 0):
                wanted = {"skew_seconds": seconds}
                answer = await insist(control.put, "/control/clock", json=wanted)
                answer.raise_for_status()
                await asyncio.sleep(random.uniform(0.3, 1.5))
        self.done[f"clock_{skew:+d}"] += 1

    async def _flap_ice(self, random: Random) -> None:
        """Freeze and thaw the icy accounts, several times."""
        async with self.wallets.control("reference-wallet") as control:
            for turn in range(8):
                for system in SYSTEMS:
                    if system.service == "reference-wallet":
                        path = f"/control/systems/{system.name}/wallets/{ICE}"
                        frozen = {"frozen": turn % 2 == 0}
                        await insist(control.patch, path, json=frozen)
                await asyncio.sleep(random.uniform(0.05, 0.3))
        self.done["ice_flapped"] += 1

    async def _reconcile(self, random: Random) -> None:
        """Compare with a wallet while money moves; what is found is judged at the end."""
        wanted = {"external_wallet_id": self.wallets.ids[random.choice(SYSTEMS)]}
        async with self._gateway() as gateway:
            answer = await insist(gateway.post, "/v1/reconciliations", json=wanted)
        self.done[f"reconciliation_{answer.status_code}"] += 1

    async def _plant(self, random: Random) -> None:
        """Let a wallet move money that nobody asked for, once for each system."""
        system = random.choice(SYSTEMS)
        order = f"own-{system.name}-{system.service}"
        if order in self.planted or system.is_restored:
            return
        self.planted[order] = system
        wanted = {"transfer_id": order, "wallet_id": "w1", "op": "credit", "amount": "1.00"}
        path = f"/control/systems/{system.name}/own-transactions"
        async with self.wallets.control(system.service) as control:
            answer = await insist(control.post, path, json=wanted)
        # 409: it was made, and the answer was lost; the same again comes with another not_after.
        assert answer.is_success or answer.status_code == _CONFLICT, answer.text
        # It is refused as too old where the clock was put right just then.
        self.done[f"planted_{answer.json()['state']}" if answer.is_success else "planted"] += 1

    def _path(self, system: System) -> str:
        return "/v1/home-wallet" if system is HOME else f"/v1/external-wallets/{self.wallets.ids[system]}"
