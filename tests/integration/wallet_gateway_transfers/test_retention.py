"""A wallet that forgets ids too early takes part in no transfer: it would do again what it has forgotten."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from support.databases import Databases
from support.transfer_bench import QUICK, Bench, Place, running_engine, transfer_bench

TWO_DAYS_AGAIN = 3
"""A hold and the step that ends it may each take the day after which a person decides; and a day to spare."""


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway whose engines the tests run."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


async def _says(bench: Bench, place: Place, *, retention_days: int) -> None:
    """Let a wallet have said for how long it knows ids."""
    await bench.service.rows(
        "UPDATE external_wallets SET capabilities = jsonb_build_object('versions', jsonb_build_array('ewp/1'),"
        " 'currencies', '[]'::jsonb, 'holds', true, 'feed', true, 'retention_days', CAST(:days AS integer)) WHERE id = :id",
        days=retention_days,
        id=place.id,
    )


@pytest.mark.parametrize("forgetful", ["source", "target"])
async def test_no_transfer_begins_with_a_wallet_that_forgets_too_early(bench: Bench, forgetful: str) -> None:
    """Either side; with one day more it may."""
    home, partner = await bench.connect(home=True), await bench.connect()
    place = home if forgetful == "source" else partner
    await _says(bench, place, retention_days=TWO_DAYS_AGAIN - 1)
    answer = await bench.post(home, partner)
    assert (answer.status_code, answer.json()["code"]) == (409, "wallet_retention_too_short")
    await _says(bench, place, retention_days=TWO_DAYS_AGAIN)
    async with running_engine(bench.service):
        assert (await bench.move(home, partner))["status"] == "completed"


async def test_a_target_that_says_so_only_when_asked_is_not_credited(bench: Bench) -> None:
    """It is asked before the source is debited, also where the source is known already."""
    source, target = await bench.connect(), await bench.connect()
    await _says(bench, source, retention_days=1_000_000)
    patient = replace(QUICK, review_after=timedelta(days=3000))
    async with running_engine(bench.service, policy=patient):
        transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_retention_too_short")
    assert transfer["steps"] == []


async def test_a_source_that_says_so_only_when_asked_is_not_debited(bench: Bench) -> None:
    """It is first asked when the transfer begins: nothing is sent then."""
    source, target = await bench.connect(), await bench.connect()
    patient = replace(QUICK, review_after=timedelta(days=3000))
    async with running_engine(bench.service, policy=patient):
        transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_retention_too_short")
    assert transfer["steps"] == []
    assert await source.ledger() == Decimal("100.00")
