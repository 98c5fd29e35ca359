"""The journal never changes, sums to zero, and refuses a second posting of a movement; the tables refuse what must never be."""

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared import typeids
from support.transfer_bench import Bench


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET amount = amount + 1",
        "UPDATE journal SET amount = amount",
        "DELETE FROM journal",
        "TRUNCATE journal CASCADE",
    ],
)
async def test_postings_never_change(bench: Bench, statement: str) -> None:
    """Not even by us."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await bench.move(home, partner)
    with pytest.raises(DBAPIError, match="append-only"):
        await bench.service.rows(statement)


async def test_the_journal_sums_to_zero(bench: Bench) -> None:
    """By currency and by transfer, whatever became of it; the clearing accounts of what has ended are even."""
    home, partner, other = await bench.connect(home=True), await bench.connect(), await bench.connect()
    await other.system.do("PATCH", "wallets/w1", {"frozen": True})
    transfers = [
        await bench.move(home, partner),
        await bench.move(partner, home),
        await bench.move(partner, other),
        await bench.move(home, other),
    ]
    assert [transfer["status"] for transfer in transfers] == ["completed", "completed", "reversed", "failed"]
    sums = await bench.service.rows(
        "SELECT transfer_id, sum(amount) AS amount FROM journal_entries GROUP BY transfer_id"
    )
    assert {row.amount for row in sums} == {0}
    clearing = await bench.service.rows(
        "SELECT sum(amount) AS amount FROM journal_entries WHERE account = 'clearing' AND tenant_id = :tenant"
        " GROUP BY wallet_id, currency",
        tenant=typeids.decode("ten", bench.tenant.id),
    )
    assert {row.amount for row in clearing} == {0}
    movements = await bench.service.rows(
        "SELECT movement, basis FROM journal WHERE transfer_id = :id ORDER BY posted_at",
        id=typeids.decode("tr", transfers[2]["id"]),
    )
    assert [(row.movement, row.basis) for row in movements] == [("debit", "wallet"), ("refund", "wallet")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfers SET due_at = NULL WHERE id = :id",
        "UPDATE transfers SET status = 'pending' WHERE id = :id",
        "UPDATE transfers SET target_wallet_id = source_wallet_id WHERE id = :id",
        "UPDATE transfers SET amount = 0 WHERE id = :id",
        (
            "INSERT INTO transfer_steps (transfer_id, number, kind, mode, wallet_id, endpoint, begun_at, not_after)"
            " SELECT transfer_id, 9, 'credit', mode, wallet_id, endpoint, begun_at, not_after FROM transfer_steps"
            " WHERE transfer_id = :id AND kind = 'credit'"
        ),
        (
            "INSERT INTO journal (transfer_id, movement, tenant_id, environment, wallet_id, clearing_wallet_id, currency, amount,"
            " basis) SELECT transfer_id, movement, tenant_id, environment, wallet_id, clearing_wallet_id, currency, amount, basis"
            " FROM journal WHERE transfer_id = :id"
        ),
    ],
)
async def test_the_tables_refuse_what_must_never_be(bench: Bench, statement: str) -> None:
    """A transfer under way that nobody looks at, one that begins again, one to itself, a second credit, a second posting."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    row_id = typeids.decode("tr", transfer["id"])
    await bench.service.rows("UPDATE transfers SET updated_at = now() WHERE id = :id", id=row_id)
    statement = statement.replace("due_at = NULL", "status = 'pending', due_at = NULL")
    with pytest.raises(IntegrityError):
        await bench.service.rows(statement, id=row_id)
