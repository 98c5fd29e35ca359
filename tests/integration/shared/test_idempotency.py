"""Idempotency-Key: one effect and one answer, whatever is repeated."""

import asyncio

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy import table as table_of

from shared.database import Database
from shared.idempotency.tasks import forget_answers
from support.apps import client_of
from support.mini_service import SECRET, MiniResources


async def count(database: Database, table: str) -> int:
    """Return the number of rows."""
    async with database.connection() as connection:
        rows = await connection.execute(select(func.count()).select_from(table_of(table)))
        return int(rows.scalar() or 0)


async def test_the_same_request_gets_the_first_answer_without_its_secret(
    app: FastAPI, resources: MiniResources
) -> None:
    """Nothing is made twice, and the kept answer holds no secret."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": "k"})
    first = await client.post("/v1/things", json={"name": "a"})
    again = await client.post("/v1/things", json={"name": "a"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == {**again.json(), "secret": SECRET}
    assert "secret" not in again.json()
    assert (first.headers["cache-control"], again.headers["cache-control"]) == ("no-store", "no-store")
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(resources.database, "things") == 1
    async with resources.database.connection() as connection:
        kept = (await connection.exec_driver_sql("SELECT convert_from(body, 'UTF8') FROM idempotency_keys")).scalar()
    assert SECRET not in str(kept)


@pytest.mark.parametrize("body", [{"name": "b"}, {"name": "a", "slow": False}])
async def test_another_body_is_a_mismatch(app: FastAPI, resources: MiniResources, body: dict[str, object]) -> None:
    """Byte for byte: even one that means the same."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": "k"})
    await client.post("/v1/things", json={"name": "a"})
    other = await client.post("/v1/things", json=body)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert await count(resources.database, "things") == 1


async def test_while_the_first_is_running_the_second_is_told_so(app: FastAPI, resources: MiniResources) -> None:
    """It gets 409 at once, and the first answer once that has come."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": "k"})
    wanted = {"name": "a", "slow": True}
    running = asyncio.create_task(client.post("/v1/things", json=wanted))
    await resources.started.wait()
    busy = await client.post("/v1/things", json=wanted)
    assert (busy.status_code, busy.json()["code"]) == (409, "idempotency_in_progress")
    resources.may_finish.set()
    first = await running
    again = await client.post("/v1/things", json=wanted)
    assert (first.status_code, again.status_code, again.json()["number"]) == (201, 201, first.json()["number"])


async def test_what_failed_is_not_kept(app: FastAPI, resources: MiniResources) -> None:
    """A fault leaves neither a thing nor an answer, so the repetition does the work."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": "k"})
    failed = await client.post("/v1/things", json={"name": "a", "fail": True})
    assert failed.status_code == 500
    assert (await client.post("/v1/things", json={"name": "a"})).status_code == 201
    assert await count(resources.database, "things") == 1


async def test_keys_belong_to_their_realm(app: FastAPI, resources: MiniResources) -> None:
    """Two tenants may use the same key."""
    for _ in range(2):
        client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": "k"})
        assert (await client.post("/v1/things", json={"name": "a"})).headers.get("idempotency-replayed") is None
    assert await count(resources.database, "things") == 2


async def test_without_a_key_each_request_counts(app: FastAPI, resources: MiniResources) -> None:
    """Nothing is remembered then."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write")})
    for _ in range(2):
        await client.post("/v1/things", json={"name": "a"})
    assert await count(resources.database, "things") == 2
    assert await count(resources.database, "idempotency_keys") == 0


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
async def test_a_malformed_key_is_refused(app: FastAPI, resources: MiniResources, key: str) -> None:
    """Before anything is done."""
    client = client_of(app, headers={"x-api-key": resources.access.new("webhooks:write")})
    answer = await client.post("/v1/things", json={"name": "a"}, headers={b"idempotency-key": key.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_header")
    assert await count(resources.database, "things") == 0


async def test_old_answers_are_forgotten(app: FastAPI, resources: MiniResources) -> None:
    """The worker's job removes what is over two days old, and nothing else."""
    for key in ("old", "new"):
        headers = {"x-api-key": resources.access.new("webhooks:write"), "idempotency-key": key}
        await client_of(app, headers=headers).post("/v1/things", json={"name": "a"})
    async with resources.database.connection() as connection:
        await connection.exec_driver_sql(
            "UPDATE idempotency_keys SET created_at = now() - interval '49 h' WHERE key = 'old'"
        )
    await forget_answers({"resources": resources})
    async with resources.database.connection() as connection:
        assert (await connection.exec_driver_sql("SELECT key FROM idempotency_keys")).scalars().all() == ["new"]
