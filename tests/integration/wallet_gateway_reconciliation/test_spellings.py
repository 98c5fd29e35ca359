"""One address in several spellings is one place: for a feed's position, and for what was given there."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared import typeids
from support.reconciliation_books import Books
from support.transfer_bench import OWNER
from wallet_gateway.external_wallets.same_system import canonical
from wallet_gateway.reconciliation import feed_repository


async def test_the_same_address_in_another_spelling_is_no_move(books: Books) -> None:
    """The feed's place and baseline stay, and what the wallet can do stays known: a restored backup freezes all the same."""
    partner = await books.bench.connect()
    for number in range(2):
        await partner.system.caller.put(f"theirs-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    await books.bench.tenant.owner.post(f"/v1/external-wallets/{partner.wallet}/test-connection")
    await books.scheduled(partner)
    url = books.bench.reference.url
    for spelling in (f"{url}/", url.replace("http", "HTTP"), url):
        await books.bench.change(partner, base_url=spelling)
        wallet = await books.wallet(partner)
        assert (wallet["base_url"], wallet["capabilities"] is None) == (spelling, False)
    (position,) = await books.bench.service.rows("SELECT * FROM feed_positions WHERE wallet_id = :id", id=partner.id)
    assert (position.seq, position.baseline_seq) == (2, 2)
    await partner.system.do("POST", "restore", {"seq": 1})
    await books.scheduled(partner)
    assert (await books.wallet(partner))["frozen"] is True


@pytest.mark.parametrize(
    ("spelling", "is_here"),
    [
        ("https://WALLET.example.com.:443/Causeway/", True),
        ("https://xn--bcher-kva.example/Causeway", False),
        ("https://wallet.example.com/causeway", False),
        ("https://wallet.example.com:444/Causeway", False),
    ],
)
async def test_where_an_order_was_given_does_not_hang_on_the_spelling(
    books: Books, *, spelling: str, is_here: bool
) -> None:
    """One that another registration gave at this place is known here; one given at another place hides nothing."""
    home, partner = await books.bench.connect(home=True), await books.bench.connect()
    other = await books.bench.connect()
    moved = await books.bench.move(home, partner)
    await books.reconcile(partner)
    url = "https://wallet.example.com/Causeway"
    assert (canonical(spelling) == canonical(url)) is is_here
    given = (
        "UPDATE transfer_steps SET wallet_id = :other,"
        " endpoint = endpoint || jsonb_build_object('base_url', CAST(:spelling AS text))"
        " WHERE transfer_id = :id AND kind = 'credit'"
    )
    transfer_id: UUID = typeids.decode("tr", moved["id"])
    await books.bench.service.rows(given, id=transfer_id, other=other.id, spelling=spelling)
    for place in (partner, other):
        at = "UPDATE external_wallets SET base_url = :url WHERE id = :id"
        await books.bench.service.rows(at, id=place.id, url=url)
    async with books.bench.service.resources.database.transaction() as session:
        unknown, _ = await feed_repository.unknown_orders(
            session, wallet_id=partner.id, from_at=datetime(2026, 1, 1, tzinfo=UTC), after_seq=0, after="", limit=10
        )
        (ours,) = await feed_repository.our_orders(session, wallet_id=other.id, transfer_ids=[transfer_id])
    assert (unknown == [], ours.is_here) == (is_here, is_here)
