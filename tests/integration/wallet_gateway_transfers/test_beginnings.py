"""Transfers begin by a short way, on what was seen of their wallets before: whatever has changed since is noticed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared import typeids
from support.transfer_bench import Bench, Place
from wallet_gateway.transfers import repository


async def _code(bench: Bench, source: Place, target: Place) -> Any:
    answer = await bench.post(source, target, amount="0.01")
    if answer.status_code == 201:
        await bench.ended(answer.json()["id"])
        return 201
    return answer.json()["code"]


async def test_a_wallet_that_changed_since_it_was_seen_is_judged_as_it_is(bench: Bench) -> None:
    """Disabled, enabled, frozen, broken elsewhere, deleted: each is told at once, also after many transfers went well."""
    home, partner = await bench.connect(home=True), await bench.connect()
    path = f"/v1/external-wallets/{partner.wallet}"
    assert [await _code(bench, home, partner) for _ in range(3)] == [201, 201, 201]
    await bench.tenant.owner.post(f"{path}/disable")
    assert await _code(bench, home, partner) == await _code(bench, partner, home) == "wallet_disabled"
    await bench.tenant.owner.post(f"{path}/enable")
    assert [await _code(bench, home, partner), await _code(bench, partner, home)] == [201, 201]
    await bench.service.rows(
        "INSERT INTO wallet_breakers (wallet_id, open_until) VALUES (:id, now() + interval '1 minute')", id=partner.id
    )
    assert await _code(bench, home, partner) == "wallet_unavailable"
    await bench.service.rows("DELETE FROM wallet_breakers WHERE wallet_id = :id", id=partner.id)
    assert await _code(bench, home, partner) == 201
    await bench.freeze(partner)
    assert await _code(bench, home, partner) == "wallet_frozen"


async def test_a_wallet_that_was_deleted_since_it_was_seen_is_unknown(bench: Bench) -> None:
    """Home too: what is home now is another wallet."""
    home, partner = await bench.connect(home=True), await bench.connect()
    assert await _code(bench, home, partner) == 201
    assert (await bench.tenant.owner.delete(f"/v1/external-wallets/{partner.wallet}")).status_code == 204
    assert await _code(bench, home, partner) == "unknown_wallet"


async def _take_the_short_way(bench: Bench, source: Place, target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin transfers until the wallets have told what they can do and are seen so; from then on no other way is open."""
    assert [await _code(bench, source, target) for _ in range(4)] == [201] * 4
    monkeypatch.delattr(repository, "insert")


async def test_a_transfer_of_a_test_realm_stays_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun by the short way as well: itself, its audit entry, and what it moves."""
    tester = bench.of(replace(bench.tenant, owner=bench.tenant.tester))
    home, partner = await tester.connect(home=True), await tester.connect()
    await _take_the_short_way(tester, home, partner, monkeypatch)
    transfer = await tester.move(home, partner)
    assert transfer["status"] == "completed"
    rows = await bench.service.rows(
        "SELECT environment FROM transfers WHERE id = :id"
        " UNION ALL SELECT environment FROM audit_entries WHERE action = 'transfer.created' AND target = :target"
        " UNION ALL SELECT environment FROM journal WHERE transfer_id = :id",
        id=typeids.decode("tr", transfer["id"]),
        target=transfer["id"],
    )
    assert [row.environment for row in rows] == ["test"] * 4
    await tester.check()


async def test_each_transfer_has_its_audit_entry_and_its_own_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty at once, in as few statements as it takes: none is mistaken for another, and what is not well is told alone."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await _take_the_short_way(bench, home, partner, monkeypatch)
    amounts = [f"0.{number:02}" for number in range(1, 31)]
    answers = await asyncio.gather(
        *(bench.post(home, partner, amount=amount, metadata={"n": amount}, key=f"k-{amount}") for amount in amounts),
        bench.post(home, partner, amount="0"),
    )
    assert [answer.status_code for answer in answers] == [201] * 30 + [422]
    begun = [answer.json() for answer in answers[:30]]
    assert [(item["amount"], item["metadata"]["n"]) for item in begun] == [(amount, amount) for amount in amounts]
    rows = await bench.service.rows(
        "SELECT target, actor, changes ->> 'amount' AS amount FROM audit_entries WHERE action = 'transfer.created'"
        " AND tenant_id = :tenant AND target = ANY(:ids)",
        tenant=typeids.decode("ten", bench.tenant.id),
        ids=[item["id"] for item in begun],
    )
    assert {row.target: row.amount for row in rows} == {item["id"]: item["amount"] for item in begun}
    assert all(row.actor for row in rows)
    for item in begun:
        await bench.ended(item["id"])
