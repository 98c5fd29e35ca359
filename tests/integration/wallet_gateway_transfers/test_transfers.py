"""Transfers between real wallets over real sockets, each way, as callers see them."""

from decimal import Decimal

from support.transfer_bench import Bench


async def test_home_to_external_holds_credits_and_commits(bench: Bench) -> None:
    """The amount is held at home while the target is credited, and taken after it."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["failure"], transfer["outcome_unknown"]) == ("completed", None, False)
    assert bench.attempts(transfer) == [
        ("hold", "put", "definitive"),
        ("credit", "put", "definitive"),
        ("commit", "commit", "definitive"),
    ]
    assert (await home.ledger(), await partner.ledger()) == (Decimal("90.00"), Decimal("110.00"))
