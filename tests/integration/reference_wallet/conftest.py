"""One reference wallet for all tests of it; each test has a wallet system of its own."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.reference_wallet import ReferenceWallet, WalletSystem, reference_wallet


@pytest.fixture(scope="session")
async def wallet(databases: Databases) -> AsyncIterator[ReferenceWallet]:
    """Return a served wallet with faults allowed."""
    async with reference_wallet(databases) as served:
        yield served


@pytest.fixture
async def system(wallet: ReferenceWallet) -> WalletSystem:
    """Return a wallet system with one wallet, w1 of owner-1, that holds 100.00 USD."""
    made = await wallet.new_system()
    await made.open_wallet()
    return made
