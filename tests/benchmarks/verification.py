"""Benchmarks of verification: in process, over HTTP, what it writes, and whether a million keys change any of it."""

import asyncio
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from benchmarks.http_load import run_load
from credentials.verification.key_hashing import PepperRing
from embedded.postgres import EmbeddedPostgres
from embedded.valkey import EmbeddedValkey
from shared import key_format, typeids
from shared.access import AccessClient
from support.api_processes import Credentials, credentials_processes
from support.credentials_service import settings_for
from support.databases import Databases

CONNECTIONS = 16
API_PROCESSES = 2
WARM_KEYS = 1_000
COLD_KEYS = 5_000
MILLION = 1_000_000
_BATCH_CALLS = 1_000
_WRITES = """
SELECT coalesce(sum(calls), 0) AS statements, coalesce(sum(rows), 0) AS rows FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND query ~* '^\\s*(with .*)?(insert|update|delete|merge)'
"""


@dataclass(slots=True, kw_only=True)
class Bench:
    """Two API processes on their own engines, and keys to verify."""

    credentials: Credentials
    database: asyncpg.Connection
    peppers: PepperRing
    tenant_id: str
    keys_total: int = 0

    async def add_keys(self, count: int) -> list[str]:
        """Store ``count`` keys of one tenant, by the thousands, and return their texts."""
        texts = [key_format.generate("secret", "live") for _ in range(count)]
        await self._store([self.peppers.hash(text).secret_hash for text in texts])
        return texts

    async def fill_up(self, total: int) -> None:
        """Store keys that nobody has until the table holds ``total``."""
        while self.keys_total < total:
            await self._store([secrets.token_bytes(32) for _ in range(min(20_000, total - self.keys_total))])
        await self.database.execute("ANALYZE")

    async def _store(self, hashes: Sequence[bytes]) -> None:
        tenant, pepper_id = typeids.decode("ten", self.tenant_id), self.peppers.current_id
        ids = [typeids.new_id() for _ in hashes]
        # By unnest and not by COPY: the columns that are not named keep the defaults that later migrations give them.
        await self.database.execute(
            "INSERT INTO api_keys (id, tenant_id, environment, kind, name, scopes, roles, allowed_cidrs, metadata,"
            " created_at, created_by) SELECT id, $2, 'live', 'secret', 'bench', '{events:read}', '{integration}', '{}', '{}',"
            " now(), 'bench' FROM unnest($1::uuid[]) AS id",
            ids,
            tenant,
        )
        await self.database.execute(
            "INSERT INTO api_key_versions (key_id, number, pepper_id, secret_hash, prefix, last_four, created_at)"
            " SELECT id, 1, $3, hash, 'cw_sk_live_benc', '0000', now() FROM unnest($1::uuid[], $2::bytea[]) AS k (id, hash)",
            ids,
            hashes,
            pepper_id,
        )
        self.keys_total += len(hashes)


@asynccontextmanager
async def running_bench() -> AsyncIterator[Bench]:
    """Start everything with a data folder of its own; end it, and remove the folder."""
    folder = _new_folder()
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        url = await Databases(postgres.url()).create("credentials")
        settings = settings_for(url, queue_url=valkey.url())
        database = await asyncpg.connect(url)
        await database.execute("CREATE EXTENSION pg_stat_statements")
        async with credentials_processes(settings, count=API_PROCESSES, folder=folder) as credentials:
            yield Bench(
                credentials=credentials,
                database=database,
                peppers=PepperRing.from_text(settings.peppers),
                tenant_id=await credentials.new_tenant(),
            )
        await database.close()
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="causeway-bench-"))
    folder.chmod(0o755)  # the user that PostgreSQL runs as goes through it
    return folder


async def in_process(bench: Bench) -> dict[str, float]:
    """Verify a key that a sibling knows, its feed being live: microseconds of one call, median and 99th batch of a thousand."""
    (key,) = await bench.add_keys(1)
    client = AccessClient.open(bench.credentials.processes[0].url, SecretStr(bench.credentials.service_key))
    client.start_following()
    batches = []
    ip = ip_address("192.0.2.7")
    for _ in range(200):
        # Between the batches the feed is heard; a batch itself does not wait for anything.
        await asyncio.sleep(0.01)
        await client.verify(key, ip=ip, scope="events:read")
        started_at = time.perf_counter()
        for _ in range(_BATCH_CALLS):
            await client.verify(key, ip=ip, scope="events:read")
        batches.append((time.perf_counter() - started_at) / _BATCH_CALLS * 1e6)
    await client.aclose()
    ordered = sorted(batches)
    return {"p50_us": ordered[len(ordered) // 2], "p99_us": ordered[int(len(ordered) * 0.99)]}


async def warm(bench: Bench, keys: Sequence[str], *, seconds: float) -> dict[str, float]:
    """Verify known keys over HTTP, and count what that writes."""
    await _load(bench, [*keys, *keys], each_once=True)
    before = await bench.database.fetchrow(_WRITES)
    cpu_before = _cpu_seconds(bench)
    figures = await _load(bench, keys, seconds=seconds)
    cpu_us = (_cpu_seconds(bench) - cpu_before) / figures["verifications"] * 1e6
    after = await bench.database.fetchrow(_WRITES)
    statements = int(after["statements"] - before["statements"])
    # What is left is the bulk update of last uses every few seconds, however many verifications there were.
    writes_each = statements / figures["verifications"]
    return {**figures, "cpu_us_each": cpu_us, "write_statements": statements, "writes_each": writes_each}


def _cpu_seconds(bench: Bench) -> float:
    """Return the processor time that the API processes have used: unlike the rate, it does not depend on who else runs."""
    ticks = 0
    for running in bench.credentials.processes:
        assert running.process is not None
        fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def cold(bench: Bench) -> dict[str, float]:
    """Verify keys that no process has seen: one read of the database each."""
    return await _load(bench, await bench.add_keys(COLD_KEYS), each_once=True)


async def _load(
    bench: Bench, keys: Sequence[str], *, seconds: float = 600.0, each_once: bool = False
) -> dict[str, float]:
    question = {"source_ip": "192.0.2.7", "used_scope": "events:read"}
    figures = await run_load(
        {
            "urls": [process.url for process in bench.credentials.processes],
            "path": "/v1/verify",
            "headers": {"authorization": f"Bearer {bench.credentials.service_key}"},
            "bodies": [json.dumps({"credential": key, **question}) for key in keys],
            "connections": CONNECTIONS,
            "seconds": seconds,
            "each_once": each_once,
            "status": 200,
            "holds": '"valid":true',
        }
    )
    return {"verifications": figures.pop("requests"), **figures}
