"""The calls about reconciliation: what is refused, what is listed, and that realms do not see one another's."""

from typing import Any

import pytest

from support.foreign_objects import Call, check_answered_as_missing
from support.reconciliation_books import Books

ONE = "/v1/reconciliations/{run}"
MISSING = {"run": "rec_01jzzzzzzzzzzzzzzzzzzzzzzz", "break": "brk_01jzzzzzzzzzzzzzzzzzzzzzzz"}
MALFORMED = {"run": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz", "break": "nonsense"}


async def _with_a_break(books: Books) -> dict[str, str]:
    """Return the ids of a run and of the break that it found."""
    partner = await books.bench.connect()
    await partner.system.caller.put("theirs", owner_ref="client-1", op="credit", amount="1.00")
    run = await books.reconcile(partner)
    return {"run": run["id"], "break": run["breaks"][0]["id"]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/external_wallet_id"),
        ({"external_wallet_id": "away"}, "/external_wallet_id"),
        ({"external_wallet_id": "home", "from": "yesterday"}, "/from"),
        ({"external_wallet_id": "home", "to": "2026-01-01T00:00:00"}, "/to"),
        ({"external_wallet_id": "home", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "/from"),
        ({"external_wallet_id": "home", "from": "2100-01-01T00:00:00Z"}, "/from"),
        ({"external_wallet_id": "home", "deep": True}, "/deep"),
    ],
    ids=str,
)
async def test_a_request_that_is_none_is_pointed_at(books: Books, body: dict[str, Any], pointer: str) -> None:
    """422; a time without an offset is no time."""
    await books.bench.tenant.new_home()
    answer = await books.bench.tenant.owner.post("/v1/reconciliations", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_wallets_that_cannot_be_compared(books: Books) -> None:
    """Missing or foreign 404; disabled, without a feed, or with too many runs already 409."""
    tenant = books.bench.tenant
    for wallet in ("home", "ew_01jzzzzzzzzzzzzzzzzzzzzzzz"):
        assert (await tenant.owner.post("/v1/reconciliations", json={"external_wallet_id": wallet})).status_code == 404
    older = await tenant.new_wallet(protocol="crm-v1")
    disabled = await tenant.new_wallet()
    await tenant.owner.post(f"/v1/external-wallets/{disabled['id']}/disable")
    busy = await tenant.new_wallet()
    for _ in range(10):
        assert (
            await tenant.owner.post("/v1/reconciliations", json={"external_wallet_id": busy["id"]})
        ).status_code == 201
    expected = [(older, "feed_not_offered"), (disabled, "wallet_disabled"), (busy, "too_many_reconciliations")]
    for wallet_in_question, code in expected:
        body = {"external_wallet_id": wallet_in_question["id"]}
        answer = await tenant.owner.post("/v1/reconciliations", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    await books.bench.service.rows(
        "UPDATE reconciliations SET status = 'clean', due_at = NULL, finished_at = now() WHERE status = 'running'"
    )


async def test_a_repeated_request_begins_one_run(books: Books) -> None:
    """By its Idempotency-Key."""
    made = await books.bench.tenant.new_wallet()
    body = {"external_wallet_id": made["id"]}
    first, again = [
        await books.bench.tenant.owner.post("/v1/reconciliations", json=body, headers={"idempotency-key": "once"})
        for _ in range(2)
    ]
    assert first.json() == again.json()
    assert {"from", "to"} <= first.json().keys()
    assert len((await books.bench.tenant.owner.get("/v1/reconciliations")).json()["data"]) == 1
    assert (await books.bench.service.audit("reconciliation.started"))[-1] == body


async def test_the_list_is_newest_first_and_filtered(books: Books) -> None:
    """By wallet and by status."""
    tenant = books.bench.tenant
    one, other = await books.bench.connect(), await books.bench.connect()
    runs = [(await books.reconcile(place))["id"] for place in (one, other, one)]

    async def listed(**query: str) -> list[str]:
        answer = await tenant.owner.get("/v1/reconciliations", params=query)
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["data"]]

    assert await listed() == runs[::-1]
    assert await listed(external_wallet_id=other.wallet) == [runs[1]]
    assert await listed(status="clean") == runs[::-1]
    assert await listed(status="running") == []
    assert (await tenant.owner.get("/v1/reconciliations", params={"status": "odd"})).status_code == 422


@pytest.mark.parametrize(
    "call",
    [
        Call(method="GET", path=ONE),
        Call(method="POST", path=ONE + "/breaks/{break}/resolve", body={"evidence": "stolen"}),
    ],
    ids=str,
)
async def test_a_foreign_run_is_as_one_that_does_not_exist(books: Books, call: Call) -> None:
    """For another tenant and for the other environment; lists are empty."""
    foreign = await _with_a_break(books)
    stranger = await books.bench.service.new_tenant()
    for client in (stranger.owner, books.bench.tenant.tester):
        await check_answered_as_missing(
            client, books.bench.service.resources.database, call, foreign=foreign, others=(MISSING, MALFORMED)
        )
        assert (await client.get("/v1/reconciliations")).json()["data"] == []
    assert (await call.send(books.bench.tenant.owner, foreign)).status_code == 200
