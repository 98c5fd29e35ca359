"""Our records against a wallet's own feed: every kind of break, found once, published, resolved."""

from typing import Any
from uuid import UUID

from jsonschema_rs import validator_for

from shared import typeids
from support.reconciliation_books import Books
from support.transfer_bench import OWNER, Place
from webhook_dispatcher.event_types import catalogue


async def _places(books: Books) -> tuple[Place, Place]:
    return await books.bench.connect(home=True), await books.bench.connect()


async def _alter(books: Books, statement: str, transfer: dict[str, Any], **values: Any) -> None:
    """Change our records, as a fault of ours would."""
    await books.bench.service.rows(statement, id=typeids.decode("tr", transfer["id"]), **values)


def _kinds(run: dict[str, Any]) -> list[str]:
    return [found["kind"] for found in run["breaks"]]


async def test_books_that_agree_are_clean(books: Books) -> None:
    """Transfers each way, a refused one and a reversed one, by both wallets' own records."""
    home, partner = await _places(books)
    for source, target in ((home, partner), (partner, home)):
        assert (await books.bench.move(source, target))["status"] == "completed"
        assert (await books.bench.move(source, target, amount="999.00"))["status"] == "failed"
    await books.bench.post(home, partner, target={"wallet": partner.wallet, "account": "nobody"})
    compared = 0
    for place in (home, partner):
        run = await books.reconcile(place)
        assert (run["status"], run["breaks"], run["waits_for"]) == ("clean", [], None)
        assert run["finished_at"] is not None
        compared += run["steps_compared"]
    assert compared >= 6
    again = await books.reconcile(partner)
    assert again["status"] == "clean"


async def test_a_transaction_that_only_the_wallet_knows(books: Books) -> None:
    """Is a break with what the wallet says of it; one that moved nothing is none."""
    home, partner = await _places(books)
    await books.bench.move(home, partner)
    await partner.system.caller.put("their-own-7", owner_ref=OWNER, op="credit", amount="5.00")
    await partner.system.caller.put("their-refused", owner_ref=OWNER, amount="9999.00")
    await partner.system.caller.cancel("their-tombstone")
    run = await books.reconcile(partner)
    (found,) = run["breaks"]
    assert (run["status"], found["kind"], found["step_id"]) == ("breaks", "unknown_to_us", "their-own-7")
    assert found["theirs"] == {"state": "committed", "op": "credit", "amount": "5.00", "currency": "USD"}
    assert (found["ours"], found["wallet_txn_id"] is not None) == (None, True)


async def test_a_hold_that_only_the_wallet_knows(books: Books) -> None:
    """Money that is held for nobody's order is missing to its owner: a break as well."""
    _, partner = await _places(books)
    await partner.system.caller.put("their-hold", owner_ref=OWNER, mode="hold", amount="5.00")
    (found,) = (await books.reconcile(partner))["breaks"]
    assert (found["kind"], found["step_id"], found["theirs"]["state"]) == ("unknown_to_us", "their-hold", "held")


async def test_an_id_of_ours_hides_no_movement_at_another_wallet(books: Books) -> None:
    """We gave this order to another server; that this wallet shows a movement under its id is a break."""
    home, partner = await _places(books)
    other = await books.bench.connect()
    moved = await books.bench.move(home, partner)
    elsewhere = (
        "UPDATE transfer_steps SET wallet_id = :other,"
        " endpoint = endpoint || jsonb_build_object('base_url', CAST(:elsewhere AS text))"
        " WHERE transfer_id = :id AND kind = 'credit'"
    )
    await _alter(books, elsewhere, moved, other=other.id, elsewhere="https://elsewhere.example")
    (found,) = (await books.reconcile(partner))["breaks"]
    assert (found["kind"], found["step_id"]) == ("unknown_to_us", f"{moved['id']}.credit.1")


async def test_another_amount_at_the_wallet(books: Books) -> None:
    """Both sides' words are shown."""
    home, partner = await _places(books)
    moved = await books.bench.move(home, partner)
    await _alter(books, "UPDATE transfers SET amount = 11 WHERE id = :id", moved)
    (found,) = (await books.reconcile(partner))["breaks"]
    assert (found["kind"], found["step_id"]) == ("amount_differs", f"{moved['id']}.credit.1")
    assert (found["ours"]["amount"], found["theirs"]["amount"]) == ("11", "10.00")


async def test_another_state_at_the_wallet(books: Books) -> None:
    """We say that nothing happened, the wallet says that it did."""
    home, partner = await _places(books)
    moved = await books.bench.move(home, partner)
    await _alter(
        books, "UPDATE transfer_steps SET outcome = 'not_applied' WHERE transfer_id = :id AND kind = 'credit'", moved
    )
    (found,) = (await books.reconcile(partner))["breaks"]
    assert (found["kind"], found["ours"]["state"], found["theirs"]["state"]) == (
        "state_differs",
        "nothing",
        "committed",
    )


async def test_a_step_that_the_wallet_never_saw(books: Books) -> None:
    """By our records it was done there, and its feed has nothing of it."""
    home, partner = await _places(books)
    other = await books.bench.connect()
    moved = await books.bench.move(home, partner)
    await _alter(
        books,
        "UPDATE transfer_steps SET wallet_id = :other WHERE transfer_id = :id AND kind = 'credit'",
        moved,
        other=other.id,
    )
    (found,) = (await books.reconcile(other))["breaks"]
    assert (found["kind"], found["step_id"]) == ("missing_at_wallet", f"{moved['id']}.credit.1")
    assert (found["theirs"], found["wallet_txn_id"]) == (None, None)
    assert (await books.reconcile(partner))["status"] == "clean"


async def test_what_is_under_way_is_not_held_against_anybody(books: Books) -> None:
    """A transfer that has not ended is compared by a later run, however much later."""
    home, partner = await _places(books)
    moved = await books.bench.move(home, partner)
    pending = "UPDATE transfers SET status = 'manual_review', ended_at = NULL, due_at = NULL WHERE id = :id"
    await _alter(books, pending, moved)
    await _alter(books, "UPDATE transfers SET created_at = created_at - interval '1 hour' WHERE id = :id", moved)
    began = "UPDATE transfer_steps SET begun_at = begun_at - interval '1 hour' WHERE transfer_id = :id"
    await _alter(books, began, moved)
    await _alter(
        books, "UPDATE transfer_steps SET outcome = 'not_applied' WHERE transfer_id = :id AND kind = 'credit'", moved
    )
    await books.scheduled(partner)
    for _ in range(2):
        runs = await books.scheduled(partner)
        assert {run["status"] for run in runs} == {"clean"}
    await _alter(books, "UPDATE transfers SET status = 'completed', ended_at = now() WHERE id = :id", moved)
    runs = await books.scheduled(partner)
    assert runs[0]["status"] == "breaks"
    assert _kinds(await books.shown(runs[0]["id"])) == ["state_differs"]


async def test_what_a_person_decided_under_uncertainty_is_compared(books: Books) -> None:
    """Said to have failed, and the wallet took the money: a break, though our own record of the step has no outcome."""
    home, partner = await _places(books)
    moved = await books.bench.move(partner, home)
    for statement in (
        "UPDATE transfer_steps SET outcome = NULL, ended_at = NULL WHERE transfer_id = :id AND wallet_id = :partner",
        "UPDATE transfers SET status = 'failed', decision = 'failed' WHERE id = :id AND source_wallet_id = :partner",
    ):
        await _alter(books, statement, moved, partner=partner.id)
    run = await books.reconcile(partner)
    assert (run["status"], run["steps_compared"], _kinds(run)) == ("breaks", 1, ["state_differs"])
    await _alter(books, "UPDATE transfers SET status = 'completed', decision = 'completed' WHERE id = :id", moved)
    again = await books.reconcile(partner)
    assert (again["status"], again["steps_compared"]) == ("clean", 1)


async def test_a_break_is_published_once_and_found_until_it_is_resolved(books: Books) -> None:
    """The event keeps the dispatcher's schema; later runs show the same break, and none after it was resolved."""
    home, partner = await _places(books)
    await books.bench.move(home, partner)
    await partner.system.caller.put("their-own-8", owner_ref=OWNER, op="credit", amount="5.00")
    first, second = [await books.reconcile(partner) for _ in range(2)]
    assert first["breaks"] == second["breaks"]
    (event,) = await books.events(partner)
    assert (event["type"], event["subject"]) == ("wallet.reconciliation_break", books.bench.id_of(partner))
    assert event["data"]["reconciliation_id"] == first["id"]
    assert {name: event["data"][name] for name in ("kind", "step_id", "wallet_txn_id", "ours", "theirs")} == {
        name: first["breaks"][0][name] for name in ("kind", "step_id", "wallet_txn_id", "ours", "theirs")
    }
    kind = next(kind for kind in catalogue.all_types() if kind.name == event["type"])
    validator_for(kind.json_schema).validate(event["data"])

    path = f"/v1/reconciliations/{second['id']}/breaks/{first['breaks'][0]['id']}/resolve"
    resolved = await books.bench.tenant.owner.post(path, json={"evidence": "a correction of theirs, agreed by mail"})
    assert (resolved.status_code, resolved.json()["resolved_at"] is None) == (200, False)
    assert resolved.json()["evidence"] == "a correction of theirs, agreed by mail"
    again = await books.bench.tenant.owner.post(path, json={"evidence": "changed my mind"})
    assert (again.status_code, again.json()["code"]) == (409, "break_resolved")
    assert (await books.reconcile(partner))["status"] == "clean"
    assert len(await books.events(partner)) == 1
    assert (await books.bench.service.audit("reconciliation.break_resolved"))[-1] == {
        "kind": "unknown_to_us",
        "step_id": "their-own-8",
        "evidence": "a correction of theirs, agreed by mail",
    }
    await partner.system.caller.put("their-own-9", owner_ref=OWNER, op="credit", amount="1.00")
    assert [found["step_id"] for found in (await books.reconcile(partner))["breaks"]] == ["their-own-9"]


async def test_a_time_bounds_what_is_compared(books: Books) -> None:
    """Steps that began before or after it are left out."""
    home, partner = await _places(books)
    moved = await books.bench.move(home, partner)
    await _alter(books, "UPDATE transfers SET amount = 11 WHERE id = :id", moved)
    before = await books.reconcile(partner, **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"})
    assert (before["status"], before["steps_compared"]) == ("clean", 0)
    assert (before["from"], before["to"]) == ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    assert (await books.reconcile(partner, **{"from": "2020-01-01T00:00:00Z"}))["status"] == "breaks"


async def test_a_wallet_that_does_not_answer_is_waited_for(books: Books) -> None:
    """The run stays and says why; when the wallet is back, it finishes."""
    home, partner = await _places(books)
    await books.bench.move(home, partner)
    await partner.system.arm("status", operations=["feed"], status=500)
    run = await books.reconcile(partner)
    assert (run["status"], run["waits_for"], run["finished_at"]) == ("running", "http_500", None)
    await partner.system.disarm()
    run_id: UUID = typeids.decode("rec", run["id"])
    await books.bench.service.rows("UPDATE reconciliations SET due_at = now() WHERE id = :id", id=run_id)
    while await books.reconciler.work_once():
        pass
    assert (await books.shown(run["id"]))["status"] == "clean"


async def test_a_wallet_that_cannot_be_compared_for_hours_is_a_break(books: Books) -> None:
    """The run ends and says why; one event until the wallet is compared again, however many runs get nowhere."""
    home, partner = await _places(books)
    await books.bench.move(home, partner)
    ended = []
    for _ in range(2):
        await partner.system.arm("status", operations=["feed"], status=500)
        begun = await books.start(partner, **{"from": "2026-01-01T00:00:00Z"})
        await books.bench.service.rows(
            "UPDATE reconciliations SET created_at = created_at - interval '7 hours' WHERE id = :id",
            id=typeids.decode("rec", begun["id"]),
        )
        while await books.reconciler.work_once():
            pass
        ended.append(await books.shown(begun["id"]))
    first, second = ended
    assert (first["status"], _kinds(first)) == ("breaks", ["feed_unreadable"])
    assert first["breaks"][0]["theirs"] == {"code": "http_500"}
    assert first["breaks"][0]["ours"]["not_compared_since"].startswith("2026-01-01T00:00:00")
    assert second["breaks"] == first["breaks"]
    (event,) = await books.events(partner)
    kind = next(kind for kind in catalogue.all_types() if kind.name == event["type"])
    validator_for(kind.json_schema).validate(event["data"])


async def test_a_wallet_that_offers_no_feed_is_never_clean(books: Books) -> None:
    """Nothing is compared, and no scheduled run says that the books agree; one that had a feed before is a break."""
    home, partner = await _places(books)
    without = (
        "UPDATE external_wallets SET capabilities = capabilities || jsonb_build_object('feed', false) WHERE id = :id"
    )
    await books.bench.move(home, partner)
    for path in (f"/v1/external-wallets/{partner.wallet}", "/v1/home-wallet"):
        assert (await books.bench.tenant.owner.post(f"{path}/test-connection")).json()["ok"] is True
    await books.reconciler.schedule()
    await books.bench.service.rows(without, id=partner.id)
    assert await books.scheduled(partner) == []

    await books.bench.move(partner, home)
    assert (await books.scheduled(home))[0]["status"] == "clean"
    await books.bench.service.rows(without, id=home.id)
    newest = (await books.scheduled(home))[0]
    (found,) = (await books.shown(newest["id"]))["breaks"]
    assert (newest["status"], found["kind"]) == ("breaks", "feed_unreadable")
    assert found["theirs"] == {"code": "feed_not_offered"}
