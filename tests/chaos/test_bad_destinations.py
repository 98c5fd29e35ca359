"""All faults of destinations at the same time: each ends as it should, nothing is lost, and the others do not notice."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chaos.destinations import REDIRECTED_TO, BadDestination, bad_destinations
from shared import typeids
from support.egress_peer import answer, run_peer
from support.figures import Figures
from support.stack import StackProcess, running_stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

EVENTS = 40
_TYPE = "withdrawal.rejected"
_SETTLE_SECONDS = 90
_GROWTH_MIB_MAX = 64
_RESPONSE_BYTES_MAX = 16 * 1024


async def test_bad_destinations_harm_only_themselves(show: Figures, tmp_path: Path) -> None:
    """40 events to each of them and to a good one: the good one has all in time, the books balance, memory stays."""
    async with (
        running_stack(CAUSEWAY_DISPATCHER_WORKERS="1") as stack,
        bad_destinations(tmp_path) as bad,
        run_peer(answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", times=EVENTS)) as good,
        stack.client("webhook-dispatcher", "owner") as owner,
    ):
        ids = {item.name: await _register(owner, item.url) for item in bad if item.name != REDIRECTED_TO}
        good_id = await _register(owner, good.url)
        before = stack.rss_mib("webhook-dispatcher-worker-1")
        events = [
            {"id": f"bad-{number}", "type": _TYPE, "subject": f"s{number}", "data": {"note": "x" * 1000}}
            for number in range(EVENTS)
        ]
        (await owner.post("/v1/events", json={"events": events})).raise_for_status()
        outcomes = await _until_all_were_tried(stack, ids)
        good_ledger = await _ledger(owner, good_id)
        assert (good_ledger["delivered"], good_ledger["balanced"]) == (EVENTS, True)
        total = (await owner.get("/v1/ledger")).raise_for_status().json()
        # Beside the events there are reports on the webhooks that fail, which nobody here has asked for.
        assert total["accepted"] >= EVENTS
        assert (total["matched"], total["balanced"]) == (EVENTS * (len(ids) + 1), True)
        for item in bad:
            if item.name in ids:
                await _judge(owner, item, outcomes[item.name], webhook_id=ids[item.name])
        redirected = next(item for item in bad if item.name == REDIRECTED_TO)
        assert redirected.peer is not None
        assert redirected.peer.connections == 0, "a redirect was followed"
        after = stack.rss_mib("webhook-dispatcher-worker-1")
        show(**{name: dict(codes) for name, codes in outcomes.items()}, worker_mib=f"{before} → {after}")
        assert after - before < _GROWTH_MIB_MAX


async def _register(owner: Any, url: str) -> str:
    body = {
        "name": "chaos",
        "url": url,
        "events": [_TYPE],
        "trigger": "every",
        "timeout_seconds": 2,
        "retry_delays_seconds": [1, 1],
    }
    return str((await owner.post("/v1/webhooks", json=body)).raise_for_status().json()["id"])


async def _ledger(owner: Any, webhook_id: str) -> dict[str, Any]:
    ledger: dict[str, Any] = (
        (await owner.get("/v1/ledger", params={"webhook_id": webhook_id})).raise_for_status().json()
    )
    return ledger


async def _judge(owner: Any, item: BadDestination, outcomes: dict[str, int], *, webhook_id: str) -> None:
    ledger = await _ledger(owner, webhook_id)
    assert ledger["balanced"], item.name
    if item.codes:
        assert set(outcomes) <= item.codes, (item.name, outcomes)
        assert ledger["delivered"] == 0, item.name
    else:
        assert ledger["delivered"] == EVENTS, (item.name, ledger)
    shown = (await owner.get("/v1/deliveries", params={"webhook_id": webhook_id, "limit": 1})).json()["data"][0]
    attempts = (await owner.get(f"/v1/deliveries/{shown['id']}")).json()["attempt_log"]
    kept = [len((attempt["response"] or {}).get("body") or "") for attempt in attempts]
    assert max(kept, default=0) <= _RESPONSE_BYTES_MAX * 2, item.name


async def _until_all_were_tried(stack: StackProcess, ids: dict[str, str]) -> dict[str, dict[str, int]]:
    """Wait until every destination had attempts and nothing is in flight or due soon; returns the error codes of each."""
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    names = {typeids.decode("wh", text): name for name, text in ids.items()}
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            while True:
                rows = await database.fetch(
                    "SELECT d.webhook_id, coalesce(a.error_code, 'none') AS code, count(*) AS count FROM attempts a JOIN"
                    " (SELECT id, webhook_id FROM deliveries UNION ALL SELECT id, webhook_id FROM delivery_history) d"
                    " ON d.id = a.delivery_id GROUP BY 1, 2"
                )
                busy = await database.fetchval(
                    "SELECT count(*) FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.status = 'in_flight'"
                    " OR (w.status = 'enabled' AND w.breaker_opened_at IS NULL AND next_attempt_at < now() + interval '30 s')"
                )
                found: dict[str, dict[str, int]] = {}
                for row in rows:
                    if row["webhook_id"] in names:
                        found.setdefault(names[row["webhook_id"]], {})[row["code"]] = row["count"]
                if set(found) == set(ids) and not busy:
                    return found
                await asyncio.sleep(0.2)
    finally:
        await database.close()
