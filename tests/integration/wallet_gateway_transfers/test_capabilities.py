"""What a wallet said it can do is asked again: when it is old, and when the wallet refuses what it said."""

from typing import Any

import pytest

from reference_wallet.discovery import service as discovery
from shared.ewp.messages import WellKnown
from support.engine import until
from support.transfer_bench import Bench, Place
from wallet_gateway.external_wallets.discovery import Discovery
from wallet_gateway.external_wallets.repository import StoredWallet


async def _kinds(bench: Bench, source: Place, target: Place) -> tuple[str, list[str]]:
    transfer = await bench.move(source, target)
    return transfer["status"], [step["kind"] for step in transfer["steps"]]


async def test_what_is_old_is_asked_again_before_a_transfer_begins(bench: Bench) -> None:
    """A wallet that no longer holds is debited at once, and nothing fails for it."""
    source, target = await bench.connect(), await bench.connect()
    tested = await bench.tenant.owner.post(f"/v1/external-wallets/{source.wallet}/test-connection")
    assert tested.json()["capabilities"]["holds"] is True
    await source.system.do("PUT", "", {"holds": False})
    await bench.service.rows(
        "UPDATE external_wallets SET capabilities_at = capabilities_at - interval '7 hours' WHERE id = :id",
        id=source.id,
    )
    assert await _kinds(bench, source, target) == ("completed", ["debit", "credit"])


async def test_a_wallet_that_refuses_to_hold_is_asked_what_it_can_do(bench: Bench) -> None:
    """The transfer that met the refusal moves nothing; the next one does without a hold."""
    source, target = await bench.connect(step_seconds=1), await bench.connect()
    assert (await bench.move(source, target))["status"] == "completed"
    await source.system.do("PUT", "", {"holds": False})
    assert (await bench.move(source, target))["status"] == "failed"

    async def is_known() -> bool:
        shown = await bench.tenant.owner.get(f"/v1/external-wallets/{source.wallet}")
        return shown.json()["capabilities"]["holds"] is False

    await until(is_known, what="what the wallet can do now is known")
    assert await _kinds(bench, source, target) == ("completed", ["debit", "credit"])


def _says(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> list[dict[str, Any]]:
    """Let every wallet's own description have other fields; returns what is said from now on."""
    described, said = discovery.described, list[dict[str, Any]]()

    async def otherwise(*args: Any) -> dict[str, Any]:
        said.append({**await described(*args), **fields})
        return said[-1]

    monkeypatch.setattr("reference_wallet.discovery.routes.described", otherwise)
    return said


@pytest.mark.parametrize("days", [10**20, 2**63, 2**31])
async def test_a_document_beyond_all_bounds_ends_the_transfer_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """It is no answer: the source is asked until the step's time is over, and nothing is sent."""
    source, target = await bench.connect(step_seconds=2), await bench.connect()
    _says(monkeypatch, retention_days=days)
    transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_unreachable")
    assert "answer_malformed" in transfer["failure"]["detail"]
    assert transfer["steps"] == []


async def test_an_older_document_stands_while_the_new_one_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the wallet does not answer at all: transfers go on as before."""
    source, target = await bench.connect(step_seconds=2), await bench.connect()
    for place in (source, target):
        await bench.tenant.owner.post(f"/v1/external-wallets/{place.wallet}/test-connection")
    asked = _says(monkeypatch, retention_days=10**20, holds=False)
    await bench.service.rows(
        "UPDATE external_wallets SET capabilities_at = capabilities_at - interval '7 hours' WHERE id = :id",
        id=source.id,
    )
    assert await _kinds(bench, source, target) == ("completed", ["hold", "commit", "credit"])
    assert len(asked) == 1
    shown = (await bench.tenant.owner.get(f"/v1/external-wallets/{source.wallet}")).json()
    assert shown["capabilities"]["retention_days"] == 3650


@pytest.mark.parametrize("faulty", ["source", "target"])
async def test_a_fault_of_ours_before_anything_began_ends_the_transfer_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, faulty: str
) -> None:
    """One that nobody foresaw: tried again within the step's time, then failed with nothing sent; never pending for ever."""
    monkeypatch.setattr("wallet_gateway.transfers.engine.OWN_FAULT_SECONDS", 0.1)
    source, target = await bench.connect(step_seconds=2), await bench.connect()
    capabilities, asked = Discovery.capabilities, 0

    async def fails(discovery: Discovery, stored: StoredWallet) -> WellKnown:
        nonlocal asked
        if stored.wallet.id == (source if faulty == "source" else target).id:
            asked += 1
            raise ZeroDivisionError
        return await capabilities(discovery, stored)

    monkeypatch.setattr(Discovery, "capabilities", fails)
    transfer = await bench.move(source, target)
    assert (transfer["status"], transfer["failure"]["code"]) == ("failed", "wallet_unreachable")
    assert "ZeroDivisionError" not in str(transfer)
    assert transfer["steps"] == []
    assert asked > 1
