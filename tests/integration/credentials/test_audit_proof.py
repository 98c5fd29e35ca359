"""What the database's password alone cannot do to the audit log: write entries that count as the service's own."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit import log_repository
from credentials.audit.chain import AuditEntry, entry_hash
from credentials.audit.proof import AuditKeys
from credentials.audit.repository import ChainHead, lock_head
from credentials.audit.verification import check, vouch
from credentials.settings import Settings
from shared.database import Database
from shared.typeids import decode
from support.audit_chains import eight_entries, execute, run_verify_audit
from support.credentials_service import CredentialsService, credentials_service

NEW = f"s2:{base64.b64encode(os.urandom(32)).decode()}"
WITHOUT_PROOF = "UPDATE audit_entries SET proof = NULL, proof_key_id = NULL WHERE chain_id = $1 AND number >= $2"
KEY_UNKNOWN = "UPDATE audit_entries SET proof_key_id = 'other' WHERE chain_id = $1 AND number >= $2"
OF_ANOTHER = (
    "UPDATE audit_entries e SET proof = o.proof FROM audit_entries o"
    " WHERE e.chain_id = $1 AND e.number >= $2 AND o.chain_id = e.chain_id AND o.number = e.number - 1"
)


async def rewrite(service: CredentialsService, chain_id: UUID, *, from_number: int) -> None:
    """Alter an entry and compute every hash after it and the head anew, as anybody can who knows how a chain is made."""
    async with service.resources.database.transaction() as session:
        rows = await log_repository.run_of(session, chain_id=chain_id, after=from_number - 1, until=1_000, limit=1_000)
        entries: list[AuditEntry] = [row.hashed() for row in rows]
        previous = rows[0].previous_hash
    entries[0] = replace(entries[0], actor_id="key_of_somebody_else")
    for entry in entries:
        new = entry_hash(entry, previous_hash=previous)
        changed = "UPDATE audit_entries SET actor_id = $2, previous_hash = $3, hash = $4 WHERE id = $1"
        await execute(service, changed, entry.id, entry.actor_id, previous, new)
        previous = new
    await execute(service, "UPDATE audit_heads SET hash = $2 WHERE chain_id = $1", chain_id, previous)


def under(settings: Settings, *keys: str) -> Settings:
    """Return the settings with other sealing keys; ``s1`` stands for the first one."""
    old = settings.sealing_keys.get_secret_value()
    text = ",".join(old if key == "s1" else key for key in keys)
    return settings.model_copy(update={"sealing_keys": SecretStr(text)})


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the database as the command does."""
    keys = AuditKeys.from_sealing_keys(settings.sealing_keys)
    database = Database.open(
        settings.database_url, application_name="test", pool_size=1, session_info=keys.session_info
    )
    yield database
    await database.aclose()


async def faults(settings: Settings, chain_id: UUID, *rings: Sequence[str]) -> list[str | None]:
    """Return what is wrong with a chain for those who have these sealing keys."""
    found = []
    for ring in rings:
        async with opened(under(settings, *ring)) as database:
            found.append((await check(database, chain_id=chain_id)).fault)
    return found


@pytest.mark.parametrize("number", [1, 5, 8])
@pytest.mark.parametrize(
    ("also", "says"),
    [
        (None, "not written by this service"),
        (OF_ANOTHER, "not written by this service"),
        (WITHOUT_PROOF, "nothing proves that entries {} to 8 were"),
        (KEY_UNKNOWN, "nothing proves that entries {} to 8 were"),
    ],
    ids=["proofs left", "proofs moved", "proofs removed", "key unknown"],
)
async def test_a_rewritten_chain_is_found(
    service: CredentialsService, number: int, also: str | None, says: str
) -> None:
    """Every hash fits, and still it shows, where it begins; also when the service has written since."""
    tenant_id = await eight_entries(service)
    chain_id = decode("ten", tenant_id)
    await rewrite(service, chain_id, from_number=number)
    if also is not None:
        await execute(service, also, chain_id, number)
    await service.new_owner(tenant_id)
    checked = await check(service.resources.database, chain_id=chain_id)
    assert checked.broken_at == number
    assert checked.fault is not None
    assert says.format(number) in checked.fault


async def test_entries_from_before_there_were_proofs_take_somebody_to_vouch_for_them(
    service: CredentialsService,
) -> None:
    """Until then they count as broken; afterwards the chain is whole, and what they say cannot be altered any more."""
    tenant_id, broken_id = await eight_entries(service), await eight_entries(service)
    chain_id = decode("ten", tenant_id)
    for each in (tenant_id, broken_id):
        await execute(service, WITHOUT_PROOF, decode("ten", each), 1)
        await service.new_owner(each)
    await execute(
        service, "UPDATE audit_entries SET actor_id = 'x' WHERE chain_id = $1 AND number = 5", decode("ten", broken_id)
    )
    runs = [
        await asyncio.to_thread(run_verify_audit, service.settings, *arguments)
        for arguments in (
            ("--tenant", tenant_id),
            ("--tenant", tenant_id, "--vouch"),
            ("--tenant", tenant_id, "--vouch"),
            ("--tenant", tenant_id),
            ("--tenant", broken_id, "--vouch"),
        )
    ]
    assert [run.returncode for run in runs] == [1, 0, 0, 0, 1]
    assert f"{tenant_id}: BROKEN at entry 1: nothing proves that entries 1 to 8" in runs[0].stdout
    assert f"{tenant_id}: whole, 10 entries" in runs[3].stdout
    assert f"{broken_id}: BROKEN at entry 5" in runs[4].stdout
    await rewrite(service, chain_id, from_number=3)
    checked = await check(service.resources.database, chain_id=chain_id)
    assert (checked.broken_at, checked.fault is not None) == (9, True)


async def test_a_chain_outlives_its_keys(service: CredentialsService) -> None:
    """While both keys are there all is proven; the old one may go once somebody vouched, and not before; nobody vouches twice."""
    tenant_id = await eight_entries(service)
    chain_id = decode("ten", tenant_id)
    settings = service.settings
    async with credentials_service(under(settings, NEW, "s1")) as rotated:
        await rotated.new_owner(tenant_id)
    whole, not_whole = await faults(settings, chain_id, (NEW, "s1"), (NEW,))
    assert whole is None
    assert not_whole is not None
    assert "nothing proves that entries 1 to 8" in not_whole
    async with opened(under(settings, NEW, "s1")) as database:
        heads = [(await vouch(database, chain_id=chain_id)).head.number for _ in range(2)]
    assert heads == [10, 10]
    assert await faults(settings, chain_id, (NEW, "s1"), ("s1", NEW), (NEW,)) == [None, None, None]
    only_old, none_known = await faults(settings, chain_id, ("s1",), (NEW.replace("s2", "s3"),))
    assert only_old is not None
    assert "entries 9 to 10" in only_old
    assert none_known is not None
    assert "entries 1 to 10" in none_known


async def test_what_comes_in_while_somebody_vouches_is_looked_at_too(
    service: CredentialsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was put in between the walk and the record is not vouched for."""
    chain_id = decode("ten", await eight_entries(service))
    await execute(service, WITHOUT_PROOF, chain_id, 1)

    async def forge_first(session: AsyncSession, *, chain_id: UUID) -> ChainHead:
        copied = "chain_id, environment, at, action, actor_kind, 'forged', target_kind, target_id, outcome, changes"
        await execute(
            service,
            "INSERT INTO audit_entries (id, number, previous_hash, hash, chain_id, environment, at, action, actor_kind,"  # noqa: S608 - our own text
            " actor_id, target_kind, target_id, outcome, changes)"
            f" SELECT gen_random_uuid(), 9, hash, hash, {copied} FROM audit_entries WHERE chain_id = $1 AND number = 8",
            chain_id,
        )
        await execute(service, "UPDATE audit_heads SET number = 9 WHERE chain_id = $1", chain_id)
        return await lock_head(session, chain_id=chain_id)

    monkeypatch.setattr("credentials.audit.verification.lock_head", forge_first)
    checked = await vouch(service.resources.database, chain_id=chain_id)
    assert (checked.broken_at, checked.head.number) == (9, 9)


def test_the_keys_are_the_same_in_every_release() -> None:
    """A proof of today holds tomorrow; another key or another hash has another one; the key does not seal."""
    text = SecretStr("s1:" + base64.b64encode(bytes(range(32))).decode())
    keys = AuditKeys.from_sealing_keys(text)
    proof = keys.prove(bytes(32))
    assert proof.mac.hex() == "b4d00c9e03b2f857bf8759a0fe6643437764dc9917613d89e6c490b2e4a85856"
    assert keys.proves(proof, bytes(32)) is True
    assert keys.proves(proof, bytes(31) + b"1") is False
    assert keys.proves(None, bytes(32)) is None
    assert keys.proves(replace(proof, key_id="s2"), bytes(32)) is None
