"""Random transfers between the wallets of ``money_wallets``, each begun as a stubborn caller would, whatever goes down."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import httpx2

from chaos.money_crowds import SIZE, Crowd, crowds_of
from chaos.money_wallets import ACCOUNTS, HOME, ICE, NAMED, OWNER, RESTORED, SYSTEMS, System, Wallets, insist
from shared.ewp.money import scale_of

_AT_A_TIME = 16
_NAMELESS = 6
_RETRY_SECONDS = 0.2
_CREATED = 201
_REFUSED = 422
_NOBODY = "nobody"
"""An account that no system has."""
# Home takes part in most transfers, as in life; what is lost with the restored backup must stay few.
_WEIGHTS = (8, 4, 3, 3, 1, 1)


@dataclass(slots=True, kw_only=True)
class MoneyLoad:
    """One run's transfers: ``total`` one by one, the crowds, and those that begin while a name is lost.

    ``ids``: what was answered for each, by number; ``told``: how often what else was answered.
    """

    wallets: Wallets
    random: Random
    total: int
    ids: dict[int, str] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a third of the transfers have begun."""
    crowds: Sequence[Crowd] = ()
    name_is_lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nobody finds ``NAMED`` any more, or remembers where it is."""
    restored_is_usable: asyncio.Event = field(default_factory=asyncio.Event)
    restored_under_way: int = 0
    """Requests that may still begin a transfer with the restored wallet."""

    @property
    def count(self) -> int:
        """Return how many transfers there are of all kinds."""
        return self.total + len(self.crowds) * SIZE + _NAMELESS

    def crowd_of_transfers(self) -> dict[str, Crowd]:
        """Return the crowds' transfers that have begun, each with its crowd."""
        return {self.ids[number]: crowd for crowd in self.crowds for number in crowd.bodies if number in self.ids}

    async def run(self) -> None:
        """Begin every transfer, each until it is answered."""
        self.restored_is_usable.set()
        free = asyncio.Semaphore(_AT_A_TIME)
        wanted = [self._wanted() for _ in range(self.total)]
        self.crowds = list(crowds_of(self.random, ids=self.wallets.ids, total=self.total))
        nameless = [self._between(*((HOME, NAMED), (NAMED, HOME))[each % 2]) for each in range(_NAMELESS)]
        async with self.wallets.stack.client("wallet-gateway", "owner") as gateway, asyncio.TaskGroup() as group:
            for crowd in self.crowds:
                group.create_task(self._begin_at_once(gateway, crowd.bodies, when=crowd.is_due))
            last = dict(enumerate(nameless, start=self.count - _NAMELESS))
            group.create_task(self._begin_at_once(gateway, last, when=self.name_is_lost))
            for number, (body, sides) in enumerate(wanted):
                group.create_task(self._begin(gateway, free, number, body, sides))

    async def _begin_at_once(
        self, gateway: httpx2.AsyncClient, bodies: Mapping[int, dict[str, Any]], *, when: asyncio.Event
    ) -> None:
        """Begin several transfers at one moment."""
        await when.wait()
        await asyncio.gather(*(self._ask(gateway, number, body) for number, body in bodies.items()))

    async def _begin(
        self,
        gateway: httpx2.AsyncClient,
        free: asyncio.Semaphore,
        number: int,
        body: dict[str, Any],
        sides: tuple[System, System],
    ) -> None:
        """Begin a transfer in its turn; one with the wallet that is being restored waits without taking a place."""
        if RESTORED not in sides:
            async with free:
                await self._ask(gateway, number, body)
            return
        while True:
            await self.restored_is_usable.wait()
            async with free:
                if self.restored_is_usable.is_set():
                    self.restored_under_way += 1
                    try:
                        await self._ask(gateway, number, body)
                    finally:
                        self.restored_under_way -= 1
                    return

    async def _ask(self, gateway: httpx2.AsyncClient, number: int, body: dict[str, Any]) -> None:
        """Ask until the transfer has begun: also past an open breaker, and while the gateway is away."""
        key = {"idempotency-key": f"n-{number}"}
        while True:
            try:
                answer = await gateway.post("/v1/transfers", json=body, headers=key)
            except httpx2.TransportError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if answer.status_code == _CREATED:
                break
            assert answer.status_code >= 500, answer.text
            self.told[answer.json()["code"]] += 1
            await asyncio.sleep(_RETRY_SECONDS)
        self.ids[number] = answer.json()["id"]
        if len(self.ids) * 3 >= self.total:
            self.begun.set()
        for crowd in self.crowds:
            if len(self.ids) >= crowd.after:
                crowd.is_due.set()
        if number % 20 == 0:
            await self._ask_otherwise(gateway, number, body)

    async def _ask_otherwise(self, gateway: httpx2.AsyncClient, number: int, body: dict[str, Any]) -> None:
        """Ask the same again, and with the same key for something else; and for what cannot be: nothing begins by any of it."""
        key = {"idempotency-key": f"n-{number}"}
        again = await insist(gateway.post, "/v1/transfers", json=body, headers=key)
        assert again.json()["id"] == self.ids[number], again.text
        other = {**body, "amount": "1" + body["amount"]}
        answer = await insist(gateway.post, "/v1/transfers", json=other, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (_REFUSED, "idempotency_mismatch"), answer.text
        for currency, amount in (("JPY", "1.5"), ("BHD", "1.0005"), ("USD", "1e2"), ("USD", "0.00"), ("USD", "-1.00")):
            bad = {**body, "currency": currency, "amount": amount}
            fresh = {"idempotency-key": f"bad-{number}-{currency}-{amount}"}
            answer = await insist(gateway.post, "/v1/transfers", json=bad, headers=fresh)
            assert answer.status_code == _REFUSED, answer.text
            self.told["refused_as_malformed"] += 1

    def _wanted(self) -> tuple[dict[str, Any], tuple[System, System]]:
        """Choose a transfer: mostly one that can be made, sometimes to nobody, in another currency, or from an icy account."""
        random = self.random
        source, target = SYSTEMS[0], SYSTEMS[0]
        while source is target:
            source, target = random.choices(SYSTEMS, weights=_WEIGHTS, k=2)
        currency = random.choices(tuple(ACCOUNTS), weights=(6, 2, 2))[0]
        from_account, to_account = _account(random, currency), _account(random, currency)
        chance = random.random()
        if chance < 0.03:
            to_account = _NOBODY
        elif chance < 0.07:
            currency, from_account, to_account = "USD", ICE, _NOBODY
        elif chance < 0.08:
            to_account = _account(random, random.choice([other for other in ACCOUNTS if other != currency]))
        elif chance < 0.09:
            to_account = ICE
        body = self._between(source, target, accounts=(from_account, to_account), currency=currency)
        return body, (source, target)

    def _between(
        self, source: System, target: System, *, accounts: tuple[str, str] = ("w0", "w1"), currency: str = "USD"
    ) -> dict[str, Any]:
        return {
            "owner_ref": OWNER,
            "source": {"wallet": self.wallets.ids[source], "account": accounts[0]},
            "target": {"wallet": self.wallets.ids[target], "account": accounts[1]},
            "currency": currency,
            "amount": _amount(self.random, currency),
        }


def _account(random: Random, currency: str) -> str:
    letter, count, _ = ACCOUNTS[currency]
    return f"{letter}{random.randrange(count)}"


def _amount(random: Random, currency: str) -> str:
    """Return up to an eighth of what an account starts with, at the currency's scale."""
    unit = Decimal(1).scaleb(-scale_of(currency))
    units = random.randrange(1, int(ACCOUNTS[currency][2] / unit) // 8)
    return format(units * unit, "f")
