"""What a wallet said it can do is asked again: when it is old, and when the wallet refuses what it said."""

from support.engine import until
from support.transfer_bench import Bench, Place


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
