"""Feeds: read in pages from where they were left; one that goes backwards freezes the wallet."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from support.databases import Databases
from support.reconciliation_books import Books
from support.reference_wallet import reference_wallet
from support.transfer_bench import OWNER
from wallet_gateway.reconciliation import feed, feed_repository, reading


async def test_a_feed_is_read_in_pages_and_from_where_it_was_left(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long one takes several turns; what is known is not read again."""
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 3)
    monkeypatch.setattr(reading, "PAGES_A_TURN", 2)
    partner = await books.bench.connect()
    for number in range(10):
        await partner.system.caller.put(f"theirs-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    run = await books.reconcile(partner)
    assert [found["step_id"] for found in run["breaks"]] == [f"theirs-{number}" for number in range(10)]
    (position,) = await books.bench.service.rows("SELECT * FROM feed_positions WHERE wallet_id = :id", id=partner.id)
    assert (position.seq, position.step_id) == (10, "theirs-9")


async def test_a_feed_that_goes_backwards_freezes_the_wallet(books: Books) -> None:
    """An old backup was restored: break, event, audit entry; new transfers are refused until a person has looked."""
    home, partner = await books.bench.connect(home=True), await books.bench.connect()
    for _ in range(2):
        await books.bench.move(home, partner)
    assert (await books.reconcile(partner))["status"] == "clean"
    await partner.system.do("POST", "restore", {"seq": 1})
    run = await books.reconcile(partner)
    (found,) = run["breaks"]
    assert (run["status"], found["kind"]) == ("breaks", "feed_regressed")
    assert (found["ours"]["seq"], found["theirs"]) == (2, {"latest_seq": 1})
    wallet = await books.wallet(partner)
    assert (wallet["frozen"], wallet["frozen_reason"]) == (True, "feed_regressed")
    assert [event["data"]["kind"] for event in await books.events(partner)] == ["feed_regressed"]
    assert (await books.bench.service.audit("wallet.frozen"))[-1]["frozen_reason"] == "feed_regressed"
    refused = await books.bench.post(home, partner)
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_frozen")
    assert (await books.reconcile(partner))["breaks"] == [found]

    path = f"/v1/external-wallets/{partner.wallet}/unfreeze"
    assert (await books.bench.tenant.owner.post(path, json={"evidence": "they replay the log"})).status_code == 200
    missing = await books.reconcile(partner)
    assert [lost["kind"] for lost in missing["breaks"]] == ["missing_at_wallet"]


async def test_the_same_step_back_again_is_a_break_of_its_own(books: Books) -> None:
    """Resolved and thawed, then the same backup once more: found anew, published anew, and no run is clean meanwhile."""
    home, partner = await books.bench.connect(home=True), await books.bench.connect()
    await books.bench.move(home, partner)
    owner = books.bench.tenant.owner
    found: list[str] = []
    for _ in range(2):
        await partner.system.caller.put("theirs", owner_ref=OWNER, op="credit", amount="1.00")
        await books.reconcile(partner)
        await partner.system.do("POST", "restore", {"seq": 1})
        run = await books.reconcile(partner)
        (regressed,) = [each for each in run["breaks"] if each["kind"] == "feed_regressed"]
        found.append(regressed["id"])
        path = f"/v1/reconciliations/{run['id']}/breaks/{regressed['id']}/resolve"
        assert (await owner.post(path, json={"evidence": "known"})).status_code == 200
        assert (await books.reconcile(partner))["status"] == "breaks"
        thaw = await owner.post(f"/v1/external-wallets/{partner.wallet}/unfreeze", json={"evidence": "known"})
        assert thaw.status_code == 200
    assert len(set(found)) == 2
    kinds = [event["data"]["kind"] for event in await books.events(partner)]
    assert kinds.count("feed_regressed") == 2


async def test_an_unfreeze_forgives_nothing_that_only_the_wallet_knows(books: Books) -> None:
    """What the rewritten feed holds is found by the scheduled runs that follow, however early it stands in the feed."""
    home, partner = await books.bench.connect(home=True), await books.bench.connect()
    await books.bench.move(home, partner)
    await books.scheduled(partner)
    await partner.system.do("POST", "restore", {"seq": 0})
    assert (await books.scheduled(partner))[0]["status"] == "breaks"
    await partner.system.caller.put("slipped-in", owner_ref=OWNER, op="credit", amount="50.00")
    path = f"/v1/external-wallets/{partner.wallet}/unfreeze"
    assert (await books.bench.tenant.owner.post(path, json={"evidence": "a backup"})).status_code == 200
    newest = (await books.scheduled(partner))[0]
    found = {each["kind"]: each["step_id"] for each in (await books.shown(newest["id"]))["breaks"]}
    assert found.get("unknown_to_us") == "slipped-in"


async def test_a_feed_that_was_rewritten_is_found_though_it_has_grown_again(books: Books) -> None:
    """The last known entry is read once more each time, and must be the same."""
    partner = await books.bench.connect()
    for number in range(3):
        await partner.system.caller.put(f"first-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    await books.reconcile(partner)
    await partner.system.do("POST", "restore", {"seq": 0})
    for number in range(5):
        await partner.system.caller.put(f"second-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    run = await books.reconcile(partner)
    regressed = [found for found in run["breaks"] if found["kind"] == "feed_regressed"]
    assert [found["theirs"]["step_id"] for found in regressed] == ["second-2"]
    assert (await books.wallet(partner))["frozen"] is True


async def test_scheduled_runs_look_at_wallets_that_have_a_feed(books: Books) -> None:
    """Once it is known that it has one; not at one that is disabled or frozen. Older history is not held against it."""
    partner = await books.bench.connect()
    await partner.system.caller.put("before-us", owner_ref=OWNER, op="credit", amount="1.00")
    assert await books.scheduled(partner) == []
    path = f"/v1/external-wallets/{partner.wallet}"
    assert (await books.bench.tenant.owner.post(f"{path}/test-connection")).json()["ok"] is True
    (first,) = await books.scheduled(partner)
    assert (first["status"], first["scheduled"], first["created_by"]) == ("clean", True, "wallet-gateway")
    await partner.system.caller.put("after-us", owner_ref=OWNER, op="credit", amount="1.00")
    newest = (await books.scheduled(partner))[0]
    assert newest["status"] == "breaks"
    assert [found["step_id"] for found in (await books.shown(newest["id"]))["breaks"]] == ["after-us"]
    for change, back in (("disable", "enable"), ("freeze", "unfreeze")):
        count = len(await books.scheduled(partner))
        if change == "freeze":
            await books.bench.freeze(partner)
        else:
            await books.bench.tenant.owner.post(f"{path}/{change}")
        assert len(await books.scheduled(partner)) == count
        await books.bench.tenant.owner.post(f"{path}/{back}", json={"evidence": "x"} if back == "unfreeze" else None)
        assert len(await books.scheduled(partner)) == count + 1


async def test_runs_at_once_of_one_wallet_do_not_read_twice(books: Books) -> None:
    """Who finds that another has moved on waits, and goes on from there; every break is there once."""
    partner = await books.bench.connect()
    for number in range(4):
        await partner.system.caller.put(f"theirs-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    begun = [await books.start(partner) for _ in range(3)]
    await asyncio.gather(*(books.reconciler.work_once() for _ in range(3)))
    await books.bench.service.rows("UPDATE reconciliations SET due_at = now() WHERE status = 'running'")
    while await books.reconciler.work_once():
        pass
    for run in begun:
        assert len((await books.shown(run["id"]))["breaks"]) == 4
    assert len(await books.events(partner)) == 4


async def test_a_position_is_moved_by_one_of_two_who_read(books: Books) -> None:
    """The other is told, keeps nothing, and never moves it backwards."""
    partner = await books.bench.connect()
    database = books.bench.service.resources.database
    nowhere, far = feed.Position(), feed.Position(seq=9, step_id="t-9", state="committed")
    near = feed.Position(seq=2, step_id="t-2", state="committed")
    stored = []
    for reached in (far, near):
        async with database.transaction() as session:
            stored.append(
                await feed_repository.store(session, wallet_id=partner.id, before=nowhere, reached=reached, entries=[])
            )
    assert stored == [0, None]
    async with database.transaction() as session:
        assert (await feed_repository.position_of(session, wallet_id=partner.id)).seq == 9


async def test_a_position_that_was_begun_anew_is_not_moved_by_who_read_before(books: Books) -> None:
    """Neither where it stands at the beginning again, nor where there is none."""
    partner = await books.bench.connect()
    database = books.bench.service.resources.database
    before = feed.Position(seq=5, step_id="t-5", state="committed")
    reached = feed.Position(seq=9, step_id="t-9", state="committed")
    for begins in ("DELETE FROM feed_positions", "INSERT INTO feed_positions (wallet_id, seq) VALUES (:id, 0)"):
        where = " WHERE wallet_id = :id" if begins.startswith("DELETE") else ""
        await books.bench.service.rows(begins + where, id=partner.id)
        async with database.transaction() as session:
            assert not await feed_repository.store(
                session, wallet_id=partner.id, before=before, reached=reached, entries=[]
            )
            assert (await feed_repository.position_of(session, wallet_id=partner.id)).seq == 0


async def test_a_wallet_that_moves_to_another_server_is_read_as_a_new_one(books: Books, databases: Databases) -> None:
    """Its feed did not go backwards, our orders at the old server are not missing there, and what is new is found."""
    home, partner = await books.bench.connect(home=True), await books.bench.connect()
    for _ in range(2):
        await books.bench.move(home, partner)
    assert (await books.scheduled(partner))[0]["status"] == "clean"
    path = f"/v1/external-wallets/{partner.wallet}"
    key = (await books.bench.tenant.owner.post(f"{path}/api-key/reveal")).json()
    async with reference_wallet(databases) as other:
        system = await other.new_system()
        await system.open_wallet(owner_ref=OWNER, balance="100.00")
        await replace(books.bench, reference=other).register_key(replace(partner, system=system), key)
        await system.caller.put("before-us", owner_ref=OWNER, op="credit", amount="1.00")
        await books.bench.change(partner, base_url=other.url)
        assert (await books.scheduled(partner))[0]["status"] == "clean"
        assert (await books.wallet(partner))["frozen"] is False
        await system.caller.put("after-us", owner_ref=OWNER, op="credit", amount="1.00")
        newest = (await books.scheduled(partner))[0]
        assert [found["step_id"] for found in (await books.shown(newest["id"]))["breaks"]] == ["after-us"]


async def test_what_the_old_server_said_is_not_kept_for_the_new_one(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is edited while a page is on its way."""
    partner = await books.bench.connect()
    await partner.system.caller.put("theirs", owner_ref=OWNER, op="credit", amount="1.00")
    begun = await books.start(partner)
    page = books.reconciler._reader._page

    async def edited_meanwhile(*given: Any) -> Any:
        answer = await page(*given)
        await books.bench.change(partner, base_url="http://127.0.0.1:9/moved")
        return answer

    monkeypatch.setattr(books.reconciler._reader, "_page", edited_meanwhile)
    assert await books.reconciler.work_once()
    run = await books.shown(begun["id"])
    assert (run["status"], run["waits_for"]) == ("running", "wallet_moved")
    assert await books.bench.service.rows("SELECT * FROM feed_states WHERE wallet_id = :id", id=partner.id) == []


async def test_a_reconciler_works_by_itself_until_it_is_cancelled(books: Books) -> None:
    """It looks each second, schedules, and finishes what is due."""
    partner = await books.bench.connect()
    begun = await books.start(partner)
    working = asyncio.create_task(books.reconciler.run())
    try:
        async with asyncio.timeout(15):
            while (await books.shown(begun["id"]))["status"] == "running":
                pass
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert (await books.shown(begun["id"]))["status"] == "clean"
