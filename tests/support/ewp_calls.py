"""The gateway's client of ewp/1 and a wallet of the tests, over real sockets."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network

from pydantic import SecretStr

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import TransferOrder
from shared.ewp.signing_keys import HmacKey
from support.fake_wallet import FakeWallet
from support.wallet_server import WalletServer, run_wallet
from wallet_gateway.protocols.endpoint import Endpoint, ResponseSignatures, WalletKey
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.protocols.transport import Clock

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])
NEW = WalletKey(key_id="ewk_new", secret=SecretStr("the new key, wholly made up"))
OLD = WalletKey(key_id="ewk_old", secret=SecretStr("the old key, wholly made up"))


def hmac_of(key: WalletKey) -> HmacKey:
    """Return the key as the wallet has it."""
    return HmacKey.of_text(key.key_id, key.secret.get_secret_value())


def order(number: int = 1) -> TransferOrder:
    """Return a direct debit of 10.00 USD."""
    return TransferOrder(
        transfer_id=f"tr_1.source.{number}",
        op="debit",
        mode="direct",
        wallet_id="w1",
        owner_ref="a1b2c3d4",
        amount=Decimal("10.00"),
        currency="USD",
        not_after=datetime.now(UTC) + timedelta(seconds=60),
    )


def to(
    url: str, *keys: WalletKey, signatures: ResponseSignatures = "optional", timeout_seconds: float = 2.0
) -> Endpoint:
    """Return an endpoint at ``url``."""
    return Endpoint(
        wallet_id=None,
        base_url=url,
        keys=keys or (NEW,),
        response_signatures=signatures,
        timeout_seconds=timeout_seconds,
    )


@asynccontextmanager
async def a_client(clock: Clock = time.time) -> AsyncIterator[HttpWalletClient]:
    """Give a client that reaches loopback."""
    async with await EgressClient.open(LOOPBACK, connections_max=4) as egress:
        yield HttpWalletClient(egress, LOOPBACK, clock=clock)


@asynccontextmanager
async def a_wallet(*keys: HmacKey, signs: bool = True) -> AsyncIterator[WalletServer]:
    """Give a wallet with 100.00 USD that takes these keys."""
    wallet = FakeWallet()
    wallet.model.open_account("w1", "100.00")
    async with run_wallet(WalletServer(wallet=wallet, keys=keys or (hmac_of(NEW),), signs=signs)) as server:
        yield server
