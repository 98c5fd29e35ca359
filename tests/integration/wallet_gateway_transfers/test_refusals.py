"""What is refused before anything moves: each with its problem, its pointer, and no transfer."""

import asyncio
from typing import Any

import pytest

from shared import typeids
from support.transfer_bench import OWNER, Bench, Place
from wallet_gateway.external_wallets import repository as wallets

NOBODY = "ew_01j9zq3s8hf3mbq5w7t2k4v6xy"


async def _nothing_began(bench: Bench) -> bool:
    answer = await bench.tenant.owner.get("/v1/transfers")
    return bool(answer.json()["data"] == [])


MALFORMED = [
    *(10, 10.0, None, True),
    *("-1", "+1", "1e2", " 1", "1 ", "01", ".5", "1.", "1,00", "NaN", "Infinity", "", "0", "0.00", "1.001"),
    "\u0661",  # one, in Arabic digits
    "1" * 19,
    "1." + "0" * 9,
]


@pytest.mark.parametrize("amount", MALFORMED, ids=repr)
async def test_an_amount_in_any_other_form_is_refused(bench: Bench, amount: Any) -> None:
    """Numbers, signs, spaces, exponents, other digits, zero, and more decimals than the currency has."""
    home, partner = await bench.connect(home=True), await bench.connect()
    answer = await bench.post(home, partner, amount=amount)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/amount"]
    assert await _nothing_began(bench)


@pytest.mark.parametrize(
    ("currency", "amount", "pointer"),
    [
        ("JPY", "10.0", "/amount"),
        ("BHD", "1.0001", "/amount"),
        ("XXX", "1", "/currency"),
        ("XAU", "1", "/currency"),
        ("usd", "1", "/currency"),
        ("DOGE", "1", "/currency"),
    ],
)
async def test_scale_and_currency_are_those_of_iso_4217(bench: Bench, currency: str, amount: str, pointer: str) -> None:
    """JPY has no decimals, BHD three; gold and testing codes are no money that moves."""
    home, partner = await bench.connect(home=True), await bench.connect()
    answer = await bench.post(home, partner, amount=amount, currency=currency)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, [pointer])


async def test_three_decimals_of_a_currency_that_has_them_arrive_exactly(bench: Bench) -> None:
    """The wallet keeps USD alone here, and says so: the currency as such is fine."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer = await bench.move(home, partner, amount="1.001", currency="BHD")
    assert (transfer["amount"], transfer["status"], transfer["failure"]["code"]) == (
        "1.001",
        "failed",
        "currency_mismatch",
    )


async def test_source_and_target_are_different_wallets(bench: Bench) -> None:
    """Also where one is named by its id and the other as home."""
    home, partner = await bench.connect(home=True), await bench.connect()
    for source, target in (
        (home.side(), home.side("w2")),
        (partner.side(), partner.side()),
        ({"wallet": bench.id_of(home), "account": "w1"}, home.side()),
    ):
        answer = await bench.post(home, partner, source=source, target=target)
        assert (answer.status_code, answer.json()["code"]) == (422, "same_wallet")
    assert await _nothing_began(bench)


async def test_a_wallet_system_that_is_registered_twice_is_one_wallet(bench: Bench) -> None:
    """Its own name for itself tells, under whatever key and account: found out before anything is sent, refused from then on."""
    home, partner = await bench.connect(home=True), await bench.connect()
    registered = await bench.tenant.new_wallet(base_url=bench.reference.url, response_signatures="required")
    again = Place(wallet=registered["id"], id=typeids.decode("ew", registered["id"]), system=partner.system)
    await bench.register_key(again, registered)
    bench.checks = False  # one ledger, and postings of two wallets
    transfer = await bench.move(partner, again)
    assert (transfer["status"], transfer["failure"]["code"], transfer["steps"]) == ("failed", "same_wallet", [])
    for source, target in ((partner.side(), again.side()), (again.side(), partner.side("w2"))):
        answer = await bench.post(home, partner, source=source, target=target)
        assert (answer.status_code, answer.json()["code"]) == (422, "same_wallet")
    assert (await bench.move(home, again))["status"] == "completed"
    tested = await bench.tenant.owner.post(f"/v1/external-wallets/{again.wallet}/test-connection")
    line = tested.json()["checks"][-1]
    assert (line["name"], line["status"], line["code"]) == ("capabilities", "failed", "wallet_registered_twice")


async def test_a_wallet_of_somebody_else_does_not_exist(bench: Bench) -> None:
    """A foreign wallet, an unknown one and a missing home wallet: the same answer, pointing at it."""
    partner = await bench.connect()
    other = await bench.service.new_tenant()
    foreign = await other.new_wallet()
    for wallet in (foreign["id"], NOBODY, "home"):
        answer = await bench.post(partner, partner, target={"wallet": wallet, "account": "w1"})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_wallet")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/target/wallet"]
    malformed = await bench.post(partner, partner, target={"wallet": "ew_x", "account": "w1"})
    assert (malformed.status_code, malformed.json()["errors"][0]["pointer"]) == (422, "/target/wallet")


async def test_a_wallet_of_the_other_environment_does_not_exist(bench: Bench) -> None:
    """A test key moves test money only."""
    home, partner = await bench.connect(home=True), await bench.connect()
    body = {"owner_ref": OWNER, "source": home.side(), "target": partner.side(), "amount": "1", "currency": "USD"}
    answer = await bench.tenant.tester.post("/v1/transfers", json=body, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_wallet")


async def test_a_disabled_or_frozen_wallet_begins_nothing(bench: Bench) -> None:
    """409, on either side."""
    home, partner = await bench.connect(home=True), await bench.connect()
    await bench.tenant.owner.post(f"/v1/external-wallets/{partner.wallet}/disable")
    for pair in ((home, partner), (partner, home)):
        answer = await bench.post(*pair)
        assert (answer.status_code, answer.json()["code"]) == (409, "wallet_disabled")
    await bench.tenant.owner.post(f"/v1/external-wallets/{partner.wallet}/enable")
    await bench.freeze(partner)
    answer = await bench.post(home, partner)
    assert (answer.status_code, answer.json()["code"]) == (409, "wallet_frozen")
    assert await _nothing_began(bench)


async def test_a_protocol_without_a_write_call_cannot_transfer(bench: Bench) -> None:
    """crm-v1 where nobody has described one."""
    home = await bench.connect(home=True)
    old = await bench.tenant.new_wallet(protocol="crm-v1")
    answer = await bench.post(home, home, target={"wallet": old["id"], "account": "w1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "protocol_cannot_transfer")


async def test_a_transfer_needs_an_idempotency_key(bench: Bench) -> None:
    """Without one a repetition could move the money twice."""
    home, partner = await bench.connect(home=True), await bench.connect()
    body = {"owner_ref": OWNER, "source": home.side(), "target": partner.side(), "amount": "1", "currency": "USD"}
    answer = await bench.tenant.owner.post("/v1/transfers", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


async def test_a_key_means_one_transfer_for_ever(bench: Bench) -> None:
    """The same body is told the first answer, whatever has become of wallets since; another body is refused."""
    home, partner = await bench.connect(home=True), await bench.connect()
    first = await bench.post(home, partner, key="k-1")
    await bench.ended(first.json()["id"])
    await bench.tenant.owner.post(f"/v1/external-wallets/{partner.wallet}/disable")
    again = await bench.post(home, partner, key="k-1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = await bench.post(home, partner, key="k-1", amount="11.00")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    await bench.service.rows("DELETE FROM idempotency_keys")  # kept answers of other calls expire; this one does not
    assert (await bench.post(home, partner, key="k-1")).content == first.content


async def test_twenty_at_once_under_one_key_are_one_transfer(bench: Bench) -> None:
    """Each is told the same."""
    home, partner = await bench.connect(home=True), await bench.connect()
    answers = await asyncio.gather(*(bench.post(home, partner, key="k-many") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    await bench.ended(answers[0].json()["id"])


async def test_a_key_of_another_tenant_is_another_key(bench: Bench) -> None:
    """Keys belong to a realm."""
    home, partner = await bench.connect(home=True), await bench.connect()
    transfer_id = await bench.begin(home, partner, key="k-shared")
    other = bench.of(await bench.service.new_tenant())
    pair = await other.connect(home=True), await other.connect()
    assert await other.begin(*pair, key="k-shared") != transfer_id
    foreign = await other.tenant.owner.get(f"/v1/transfers/{transfer_id}")
    missing = await other.tenant.owner.get("/v1/transfers/tr_01j9zq3s8hf3mbq5w7t2k4v6xy")
    assert (foreign.status_code, missing.status_code) == (404, 404)
    await bench.ended(transfer_id)


async def test_unknown_fields_are_refused(bench: Bench) -> None:
    """In the body, its sides and the query."""
    home, partner = await bench.connect(home=True), await bench.connect()
    assert (await bench.post(home, partner, memo="x")).status_code == 422
    assert (await bench.post(home, partner, source={**home.side(), "x": 1})).status_code == 422
    answer = await bench.tenant.owner.get("/v1/transfers", params={"state": "pending"})
    assert answer.status_code == 422


async def test_a_wait_is_at_most_ten_seconds(bench: Bench) -> None:
    """422 beyond."""
    home, partner = await bench.connect(home=True), await bench.connect()
    assert (await bench.post(home, partner, wait_ms=10_001)).status_code == 422


async def test_a_wallet_is_changed_however_many_transfers_begin(bench: Bench) -> None:
    """Whoever begins a transfer holds its wallets against deletion alone: nobody who changes one waits for them."""
    home, partner = await bench.connect(home=True), await bench.connect()
    database = bench.service.resources.database
    async with database.transaction() as holding:
        await wallets.find(holding, realm=bench.realm, wallet=partner.id, lock="KEY SHARE")
        path = f"/v1/external-wallets/{partner.wallet}"
        async with asyncio.timeout(5):
            assert (await bench.tenant.owner.post(f"{path}/disable")).status_code == 200
            assert (await bench.tenant.owner.patch(path, json={"name": "Other"})).status_code == 200
        deleting = asyncio.create_task(bench.tenant.owner.delete(path))
        done, _ = await asyncio.wait([deleting], timeout=0.3)
        assert not done
    assert (await deleting).status_code == 204
    bench.places.remove(partner)
    assert (await bench.post(home, partner)).json()["code"] == "unknown_wallet"
