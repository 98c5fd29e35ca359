"""How the security token is kept: sealed in its own row, recorded, never in clear; and what the platform's commands do to it."""

import asyncio
import base64
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from credentials.audit.service import Actor
from credentials.resealing.sealed_columns import SEALED_COLUMNS
from credentials.resealing.service import reseal
from credentials.security_tokens import maintenance
from credentials.security_tokens import service as security_tokens
from credentials.security_tokens.issuer import TokenIssuer
from credentials.verification.key_hashing import PepperRing
from shared import key_format
from shared.sealing import SealingError, SealingKeyring, key_id_of
from shared.typeids import decode
from support.credentials_service import CredentialsService
from support.security_tokens import CALLS, PATH, is_valid, refresh, reveal


async def test_reveals_and_refreshes_are_recorded_and_the_text_is_nowhere(service: CredentialsService) -> None:
    """Who saw it and who replaced it, from where; no table holds a part of any text."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id, roles=["owner"])
    owner = service.client(key["key"], client_ip="192.0.2.9")
    texts = [await reveal(owner), await refresh(owner, overlap_seconds=9)]
    await owner.post(f"{PATH}/refresh", json={}, headers={"idempotency-key": "k"})
    texts.append(await reveal(owner))
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT action, actor_id, host(ip) FROM audit_entries WHERE target_kind = 'security_token' AND chain_id = $1"
            " ORDER BY number",
            (decode("ten", tenant_id),),
        )
        entries = [tuple(row) for row in rows]
        tables = [
            row[0]
            for row in await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        stored = [
            (await connection.exec_driver_sql(f"SELECT string_agg(t::text, '') FROM {table} t")).scalar()  # noqa: S608 - names from the catalogue
            for table in tables
        ]
    revealed, refreshed = "security_token.revealed", "security_token.refreshed"
    assert [entry[0] for entry in entries] == [revealed, refreshed, refreshed, revealed]
    assert {entry[1:] for entry in entries} == {(key["id"], "192.0.2.9")}
    dump = "".join(text for text in stored if text)
    for text in texts:
        assert text[16:-4] not in dump
        assert text[16:-4].encode().hex() not in dump


async def test_a_sealed_token_of_another_row_does_not_open(service: CredentialsService) -> None:
    """Copied from one tenant to another in the database, it shows nothing."""
    mine, theirs = await service.new_tenant(), await service.new_tenant()
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql(
            "UPDATE security_tokens SET sealed_token = (SELECT sealed_token FROM security_tokens WHERE tenant_id = $1)"
            " WHERE tenant_id = $2",
            (decode("ten", theirs), decode("ten", mine)),
        )
    answer = await (await service.new_owner(mine)).post(f"{PATH}/reveal")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_older_tenants_get_theirs_once(service: CredentialsService) -> None:
    """From a command that may run twice, also at once; until then the token is not found."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    resources = service.resources
    async with resources.database.connection() as connection:
        await connection.exec_driver_sql(
            "DELETE FROM security_tokens WHERE tenant_id = $1", (decode("ten", tenant_id),)
        )
    assert {(await call(owner)).status_code for call in CALLS.values()} == {404}
    made = await asyncio.gather(
        *(maintenance.make_missing(resources.database, issuer=resources.token_issuer, maker="test") for _ in range(2))
    )
    assert sum(made) == 1
    assert await is_valid(service, await reveal(owner))
    assert (await owner.get(PATH)).json()["refreshed_by"] == "test"


async def test_a_leaked_token_is_replaced(service: CredentialsService) -> None:
    """Every text ends, also those in overlap; the tenant has a new one, and the log says why."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    old = await reveal(owner)
    leaked = await refresh(owner, overlap_seconds=3600)
    resources = service.resources
    for text, known in ((old, True), (key_format.generate("security_token", "live"), False)):
        async with resources.database.transaction() as session:
            assert known is await security_tokens.replace_leaked(
                session,
                hashes=resources.peppers.candidates(text),
                actor=Actor(kind="leak_report", id="leak_report"),
                issuer=resources.token_issuer,
                feed=resources.feed,
                now=datetime.now(UTC),
            )
    assert [await is_valid(service, token) for token in (old, leaked)] == [False, False]
    assert await is_valid(service, await reveal(owner))


def _secret() -> bytes:
    return os.urandom(32)


async def test_sealing_keys_and_peppers_are_changed_twice_without_harm(service: CredentialsService) -> None:
    """Under the new ones alone the token is revealed and verified as before; what was not moved is refused, not shown."""
    tenant_id = await service.new_tenant()
    text = await reveal(await service.new_owner(tenant_id))
    resources = service.resources
    old_sealing, old_peppers = _named(service.settings.sealing_keys), _named(service.settings.peppers)
    new_sealing, new_pepper = {"s2": _secret()}, {"p2": _secret()}
    both = TokenIssuer(
        peppers=PepperRing({**new_pepper, **old_peppers}), sealing=SealingKeyring({**new_sealing, **old_sealing})
    )
    alone = TokenIssuer(peppers=PepperRing(new_pepper), sealing=SealingKeyring(new_sealing))
    token_id, sealed, _ = await _stored(service, tenant_id)
    with pytest.raises(SealingError):
        alone.open(sealed, token_id=token_id, tenant_id=decode("ten", tenant_id))
    # Another test of this module has swapped a sealed value: it is named, and does not stop the others.
    column = next(column for column in SEALED_COLUMNS if column.table == "security_tokens")
    resealed = [(await reseal(resources.database, keyring=both.sealing, columns=[column]))[0] for _ in range(2)]
    assert [result.resealed > 0 for result in resealed] == [True, False]
    rehashed = [await maintenance.rehash(resources.database, issuer=both) for _ in range(2)]
    assert [result.count > 0 for result in rehashed] == [True, False]
    assert len(rehashed[1].unopened) == len(resealed[1].unopened) <= 1
    _, sealed, stored_hash = await _stored(service, tenant_id)
    assert key_id_of(sealed) == "s2"
    assert alone.open(sealed, token_id=token_id, tenant_id=decode("ten", tenant_id)).get_secret_value() == text
    assert alone.peppers.candidates(text) == [stored_hash]


def _named(keys: SecretStr) -> dict[str, bytes]:
    name, _, encoded = keys.get_secret_value().partition(":")
    return {name: base64.b64decode(encoded)}


async def _stored(service: CredentialsService, tenant_id: str) -> Any:
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT t.id, t.sealed_token, v.secret_hash FROM security_tokens t"
            " JOIN security_token_versions v ON v.token_id = t.id WHERE t.tenant_id = $1",
            (decode("ten", tenant_id),),
        )
        return rows.one()
