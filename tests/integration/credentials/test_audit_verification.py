"""``verify-audit``: a chain that was altered, cut or reordered is found, and where."""

import asyncio

import pytest

from credentials.audit import verification
from credentials.audit.service import PLATFORM_CHAIN
from credentials.audit.verification import all_chains, check
from shared.typeids import decode
from support.audit_chains import eight_entries, execute, run_verify_audit
from support.credentials_service import CredentialsService

# What somebody with the database's password might do to entry 5 of 8 of a chain, and what is said of it.
TAMPERED = {
    "altered": ("UPDATE audit_entries SET actor_id = 'key_other' WHERE chain_id = $1 AND number = 5", 5, "altered"),
    "altered changes": ("UPDATE audit_entries SET changes = '{}' WHERE chain_id = $1 AND number = 5", 5, "altered"),
    "back-dated": (
        "UPDATE audit_entries SET at = at - interval '1 s' WHERE chain_id = $1 AND number = 5",
        5,
        "altered",
    ),
    "deleted": ("DELETE FROM audit_entries WHERE chain_id = $1 AND number = 5", 5, "missing"),
    "deleted and closed up": (
        (
            "WITH gone AS (DELETE FROM audit_entries WHERE chain_id = $1 AND number = 8)"
            " UPDATE audit_entries SET number = number + 100 WHERE chain_id = $1 AND number = 5"
        ),
        5,
        "missing",
    ),
    "reordered": (
        "UPDATE audit_entries SET number = CASE number WHEN 5 THEN 1006 ELSE 1005 END WHERE chain_id = $1 AND number IN (5, 6)",
        5,
        "does not follow",
    ),
    "first deleted": ("DELETE FROM audit_entries WHERE chain_id = $1 AND number = 1", 1, "missing"),
    "last deleted": ("DELETE FROM audit_entries WHERE chain_id = $1 AND number = 8", 8, "missing"),
    "head set back": (
        (
            "UPDATE audit_heads SET number = 5, hash = (SELECT hash FROM audit_entries WHERE chain_id = $1 AND number = 5)"
            " WHERE chain_id = $1"
        ),
        6,
        "there are entries up to 8",
    ),
    "head altered": (
        "UPDATE audit_heads SET hash = decode(repeat('00', 32), 'hex') WHERE chain_id = $1",
        8,
        "the head",
    ),
    "head deleted": ("DELETE FROM audit_heads WHERE chain_id = $1", 1, "no head"),
    "moved to another chain": (
        "UPDATE audit_entries SET chain_id = gen_random_uuid() WHERE chain_id = $1 AND number = 5",
        5,
        "missing",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
@pytest.mark.parametrize("batch", [3, 1_000])
async def test_tampering_is_found_where_it_happened(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch, how: str, batch: int
) -> None:
    """Whatever the borders of the batches; other chains stay whole."""
    monkeypatch.setattr(verification, "_BATCH", batch)
    tenant_id, other_id = await eight_entries(service), await eight_entries(service)
    statement, number, says = TAMPERED[how]
    await execute(service, statement, decode("ten", tenant_id))
    if how == "reordered":
        await execute(
            service,
            "UPDATE audit_entries SET number = number - 1000 WHERE chain_id = $1 AND number > 1000",
            decode("ten", tenant_id),
        )
    checked = await check(service.resources.database, chain_id=decode("ten", tenant_id))
    assert checked.fault is not None
    assert says in checked.fault
    assert checked.broken_at == number
    other = await check(service.resources.database, chain_id=decode("ten", other_id))
    assert (other.fault, other.head.number) == (None, 8)


async def test_whole_chains_are_whole_also_while_they_grow(service: CredentialsService) -> None:
    """The walk goes as far as the head it began with."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)

    async def grow() -> None:
        for number in range(10):
            await owner.post("/v1/roles", json={"name": f"role {number}", "scopes": ["events:read"]})

    growing = asyncio.create_task(grow())
    while not growing.done():
        assert (await check(service.resources.database, chain_id=decode("ten", tenant_id))).fault is None
    await growing
    database = service.resources.database
    checked = [await check(database, chain_id=chain_id) for chain_id in await all_chains(database)]
    assert PLATFORM_CHAIN in {found.chain_id for found in checked}
    assert decode("ten", tenant_id) in {found.chain_id for found in checked if found.fault is None}


async def test_the_command_says_where_and_fails(service: CredentialsService) -> None:
    """One chain or all; 1 for a broken one, 2 for what is no tenant."""
    whole, broken = await eight_entries(service), await eight_entries(service)
    await execute(service, TAMPERED["deleted"][0], decode("ten", broken))
    for arguments, code, says in (
        (("--tenant", whole), 0, f"{whole}: whole, 8 entries, head "),
        (("--tenant", broken), 1, f"{broken}: BROKEN at entry 5: entry 5 is missing"),
        (("--tenant", "platform"), 0, "platform: whole, "),
        (("--tenant", "ten_01h455vb4pex5vsknk084sn02q"), 1, "there is no such log"),
        (("--tenant", "nonsense"), 2, ""),
        ((), 1, f"{broken}: BROKEN at entry 5"),
    ):
        run = await asyncio.to_thread(run_verify_audit, service.settings, *arguments)
        assert run.returncode == code, run.stderr
        assert says in run.stdout
    assert f"{whole}: whole, 8 entries" in run.stdout


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7%x", "192.0.2.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
    ],
)
async def test_an_address_is_hashed_as_it_is_stored(service: CredentialsService, address: str, shown: str) -> None:
    """Whatever form a sibling, or the socket, tells it in."""
    tenant_id = await service.new_tenant()
    owner, made = (
        await service.new_owner(tenant_id),
        await service.new_key(tenant_id, allowed_cidrs=["198.51.100.0/24"]),
    )
    siblings = service.client(service.service_key)
    verified = await siblings.post("/v1/verify", json={"credential": made["key"], "source_ip": address})
    assert verified.json()["valid"] is False
    await service.client(made["key"], client_ip=address).get("/v1/whoami")
    await service.resources.denials.flush(at_once=True)
    entries = (await owner.get("/v1/audit-log?action=access.denied")).json()["data"]
    assert {entry["ip"] for entry in entries} == {shown}
    checked = await check(service.resources.database, chain_id=decode("ten", tenant_id))
    assert checked.fault is None
