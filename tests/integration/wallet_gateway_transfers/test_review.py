"""A person's decision: only from review, audited, and carried on where the target's money was the question."""

from decimal import Decimal

from support.transfer_bench import Bench, Place


async def _in_review(bench: Bench, source: Place, target: Place, *, at: str, call: str = "put") -> str:
    """Bring a transfer to review by an answer that echoes another amount, at a step's call."""
    await (target if at == "credit" else source).system.arm("wrong_amount", operations=[call])
    transfer_id = await bench.begin(source, target)
    transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "manual_review"
    return transfer_id


async def test_the_target_has_its_money_and_the_hold_is_taken(bench: Bench) -> None:
    """`completed` goes on to the commit."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await _in_review(bench, home, partner, at="credit")
    resolved = await bench.resolve(transfer_id, "completed")
    assert (resolved["status"], resolved["failure"]) == ("completed", None)
    assert resolved["decision"]["evidence"] == "seen in the wallet's own ledger"
    assert [step["kind"] for step in resolved["steps"]] == ["hold", "credit", "commit"]
    # The decision begins the commit, and leaves its call to a worker: nobody has to wonder whether it was made already.
    assert [attempt["outcome"] for attempt in resolved["steps"][-1]["attempts"]] == ["definitive"]
    assert (await home.ledger(), await partner.ledger()) == (Decimal("90.00"), Decimal("110.00"))


async def test_the_target_has_nothing_and_the_debit_is_refunded(bench: Bench) -> None:
    """`failed` where the debit was made becomes `reversed`."""
    source, target = await bench.connect(), await bench.connect()
    transfer_id = await _in_review(bench, source, target, at="credit")
    # What the person found is not so here: the wallet had applied it. The journal follows the person's word.
    await target.system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "debit", "amount": "10.00"})
    resolved = await bench.resolve(transfer_id, "failed")
    assert resolved["status"] == "reversed"
    assert resolved["steps"][-1]["kind"] == "refund"
    assert await source.ledger() == Decimal("100.00")


async def test_a_refund_in_doubt_is_put_right_by_hand(bench: Bench) -> None:
    """`failed`: the client has the money back; no call is made, and the clearing account is even."""
    source, target = await bench.connect(system={"holds": False}), await bench.connect()
    await target.system.do("PATCH", "wallets/w1", {"frozen": True})
    await target.system.arm("delay", operations=["put"], when="before", delay_ms=500)
    transfer_id = await bench.begin(source, target)
    await bench.step_of(transfer_id, "credit")
    await source.system.arm("wrong_amount", operations=["put"])
    assert (await bench.ended(transfer_id))["status"] == "manual_review"
    resolved = await bench.resolve(transfer_id, "failed")
    assert (resolved["status"], resolved["outcome_unknown"]) == ("reversed", False)
    (posting,) = await bench.service.rows(
        "SELECT basis FROM journal JOIN transfers t ON t.id = transfer_id WHERE movement = 'refund' AND t.tenant_id ="
        " (SELECT tenant_id FROM external_wallets WHERE id = :id)",
        id=source.id,
    )
    assert posting.basis == "decision"


async def test_a_decision_is_audited_with_its_evidence(bench: Bench) -> None:
    """Together with who made it."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await _in_review(bench, home, partner, at="credit")
    resolved = await bench.resolve(transfer_id, "completed")
    entries = await bench.service.rows(
        "SELECT actor, changes FROM audit_entries WHERE action = 'transfer.resolved' AND target = :id", id=transfer_id
    )
    assert [row.changes for row in entries] == [
        {"decision": "completed", "evidence": "seen in the wallet's own ledger"}
    ]
    assert entries[0].actor == resolved["decision"]["decided_by"]


async def test_only_review_can_be_resolved(bench: Bench) -> None:
    """Not a completed transfer, nor one that is not there, nor anybody else's, of another environment too."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    body = {"decision": "failed", "evidence": "x"}
    done = await bench.tenant.owner.post(f"/v1/transfers/{transfer['id']}/resolve", json=body)
    assert (done.status_code, done.json()["code"]) == (409, "transfer_not_in_review")
    missing = await bench.tenant.owner.post("/v1/transfers/tr_01j9zq3s8hf3mbq5w7t2k4v6xy/resolve", json=body)
    assert missing.status_code == 404
    reviewed = await _in_review(bench, home, partner, at="credit")
    for stranger in ((await bench.service.new_tenant()).owner, bench.tenant.tester):
        for transfer_id in (transfer["id"], reviewed):
            foreign = await stranger.post(f"/v1/transfers/{transfer_id}/resolve", json=body)
            assert (foreign.status_code, foreign.json()["detail"]) == (404, missing.json()["detail"])
    assert (await bench.shown(reviewed))["status"] == "manual_review"
    await bench.resolve(reviewed, "completed")


async def test_every_decision_is_kept(bench: Bench) -> None:
    """A transfer that comes to review twice shows both, with their evidence, oldest first; the newest is `decision`."""
    source, target = await bench.connect(), await bench.connect()
    transfer_id = await _in_review(bench, source, target, at="credit")
    await target.system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "debit", "amount": "10.00"})
    await source.system.do("PATCH", "wallets/w1", {"frozen": True})
    first = await bench.resolve(transfer_id, "failed")
    assert (first["status"], first["failure"]["code"]) == ("manual_review", "refund_refused")
    await source.system.do("PATCH", "wallets/w1", {"frozen": False})
    await source.system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "credit", "amount": "10.00"})
    body = {"decision": "failed", "evidence": "given back by hand, ticket 7"}
    answer = await bench.tenant.owner.post(f"/v1/transfers/{transfer_id}/resolve", json=body)
    assert answer.status_code == 200, answer.text
    shown = await bench.ended(transfer_id)
    assert [each["evidence"] for each in shown["decisions"]] == [
        "seen in the wallet's own ledger",
        "given back by hand, ticket 7",
    ]
    assert shown["decision"] == shown["decisions"][-1]
    assert (shown["status"], first["decisions"]) == ("reversed", shown["decisions"][:1])


async def test_a_hold_that_the_wallet_took_is_posted_as_a_debit(bench: Bench) -> None:
    """The release is refused since the wallet has taken the amount: the journal says so, and after the decision all is even."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await partner.system.do("PATCH", "wallets/w1", {"frozen": True})
    await partner.system.arm("delay", operations=["put"], when="before", delay_ms=800)
    transfer_id = await bench.begin(home, partner)
    await bench.step_of(transfer_id, "credit")
    await home.system.caller.commit(f"{transfer_id}.debit.1")
    reviewed = await bench.ended(transfer_id)
    assert (reviewed["status"], reviewed["failure"]["code"]) == ("manual_review", "release_refused")
    # What the wallets have less is what is being cleared.
    await bench.check()
    await home.system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "credit", "amount": "10.00"})
    assert (await bench.resolve(transfer_id, "failed"))["status"] == "reversed"


async def test_a_decision_needs_evidence(bench: Bench) -> None:
    """422 without any."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner)
    for body in (
        {"decision": "failed"},
        {"decision": "failed", "evidence": ""},
        {"decision": "reversed", "evidence": "x"},
    ):
        answer = await bench.tenant.owner.post(f"/v1/transfers/{transfer['id']}/resolve", json=body)
        assert answer.status_code == 422
