"""Planted secrets, wallet API keys and credentials, go through every call of the gateway and are afterwards nowhere.

A wallet's key is sent where one is taken; a credential of ours in every place of every documented call. What is searched: the log
at level debug, every row of every table (audit, replays, outbox), Valkey, and every answer but those that show a key.
"""

import io
import itertools
import json
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from support.apps import client_of
from support.canary import Secret, all_in_queue, all_rows, operations, requests_with, traces
from support.databases import Databases
from support.reference_wallet import reference_wallet
from support.transfer_bench import Bench, Place, running_engine, running_service
from wallet_gateway.reconciliation.reconciler import Reconciler
from wallet_gateway.transfers import timeline_repository

REJECTED = "https://10.0.0.1/"
NOT_KEPT = {f"body {place}" for place in ("unknown value", "unknown name", "malformed", "twice", "NUL", "alone")}
KEY_FIELD = {
    ("POST", "/v1/external-wallets"),
    ("POST", "/v1/external-wallets/{wallet_id}/api-key/rotate"),
    ("PUT", "/v1/home-wallet"),
    ("POST", "/v1/home-wallet/api-key/rotate"),
}


@dataclass(slots=True)
class Evidence:
    """What was planted, and all that was left behind."""

    secrets: list[Secret]
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[str, list[str]] = field(default_factory=dict)
    log: str = ""
    rows: dict[str, str] = field(default_factory=dict)
    queue: str = ""

    def keep(self, what: str, answer: httpx2.Response) -> None:
        """Keep an answer, without the key where it is there to show one."""
        self.statuses[answer.status_code] += 1
        text = answer.text
        if answer.is_success and text.startswith("{") and "api_key" in answer.json():
            text = text.replace(json.dumps(answer.json()["api_key"]), '""')
        self.answers.setdefault(what, []).append(f"{answer.headers.raw!r}\n{text}")


def _planted(name: str) -> Secret:
    return Secret(name, f"ewk_{secrets.token_hex(24)}")


@pytest.fixture(scope="module")
async def evidence(databases: Databases, valkey_url: str) -> Evidence:
    """Plant the secrets, move money, let things fail; return all that is left when the processes have ended."""
    log = io.StringIO()
    found = Evidence([_planted(name) for name in ("home's key", "partner's key", "older key", "key in passing")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        async with (
            running_service(databases, valkey_url, log_level="debug", rate_limit_per_minute=0) as service,
            reference_wallet(databases, log_level="debug") as reference,
        ):
            bench = Bench(service=service, tenant=await service.new_tenant(), reference=reference, checks=False)
            found.secrets.append(Secret("owner's credential", bench.tenant.owner.headers["x-api-key"]))
            async with running_engine(service):
                ids = await _move(bench, found)
                await _wallet_keys_everywhere(bench, found)
                await _fail(bench, found, patch, ids)
                await _credentials_everywhere(bench, found, ids)
            url = service.resources.settings.database_url.replace("+asyncpg", "")
            found.rows, found.queue = await all_rows(url), await all_in_queue(valkey_url)
    found.log = log.getvalue()
    return found


async def _move(bench: Bench, found: Evidence) -> dict[str, str]:
    """Register wallets with the keys, rotate, move money past faults, reconcile; returns what there is, by path parameter."""
    home, partner, older, _ = [secret.text for secret in found.secrets[:4]]
    target = await bench.connect(home=True, api_key=home)
    source = await bench.connect(api_key=older)
    path = f"/v1/external-wallets/{source.wallet}"
    rotated = await bench.tenant.owner.post(f"{path}/api-key/rotate", json={"api_key": partner})
    found.keep("rotate", rotated)
    await bench.register_key(source, rotated.json())
    for kind in ("bad_signature", "truncated", "html", "wrong_amount"):
        await source.system.arm(kind, operations=["put"])
        transfer = await bench.move(source, target)
        found.keep("timeline", await bench.tenant.owner.get(f"/v1/transfers/{transfer['id']}"))
    found.keep("balances", await bench.tenant.owner.get("/v1/clients/client-1/balances"))
    found.keep("test", await bench.tenant.owner.post(f"{path}/test-connection"))
    run = await bench.tenant.owner.post("/v1/reconciliations", json={"external_wallet_id": source.wallet})
    return {
        "wallet_id": source.wallet,
        "owner_ref": "client-1",
        "transfer_id": transfer["id"],
        "reconciliation_id": run.json()["id"],
        "break_id": await _break_of(bench, source, run.json()["id"]),
    }


async def _break_of(bench: Bench, place: Place, run_id: str) -> str:
    await place.system.do("POST", "own-transactions", {"wallet_id": "w1", "op": "credit", "amount": "1.00"})
    resources = bench.service.resources
    reconciler = Reconciler(
        database=resources.database, wallets=resources.wallets, discovery=resources.discovery, interval_seconds=0
    )
    assert await reconciler.work_once()
    shown = (await bench.tenant.owner.get(f"/v1/reconciliations/{run_id}")).json()
    breaks: list[dict[str, Any]] = shown["breaks"]
    return str(breaks[0]["id"])


async def _wallet_keys_everywhere(bench: Bench, found: Evidence) -> None:
    """Send a wallet's key where one is taken: accepted, repeated, refused for each reason, malformed, and by a stranger."""
    text = found.secrets[3].text
    good = {"name": "Partner", "base_url": bench.reference.url, "api_key": text}
    stranger = bench.service.client("cw_sk_live_nobody")
    for method, template in sorted(KEY_FIELD):
        path = template.replace("{wallet_id}", bench.id_of(bench.places[1]))
        body = {key: good[key] for key in good if key in _fields(template)}
        repeated = {"idempotency-key": uuid4().hex}
        bodies: list[Any] = [
            *({**body, "unknown": 1}, {**body, "api_key": [text]}, {**body, "api_key": {text: 1}}, {**body, text: 1}),
            *({**body, "api_key": text * 20}, {**body, "api_key": f"\u0000{text}"}, {**body, "overlap_seconds": text}),
            *(({**body, "base_url": REJECTED}, {**body, "base_url": [text]}) if "base_url" in body else ()),
        ]
        for wanted in bodies:
            found.keep(f"{method} {template}", await bench.tenant.owner.request(method, path, json=wanted))
        for cut in (f'{{"api_key": "{text}', f'{{"api_key": "{text}", "api_key": "{text}"}}', json.dumps(text)):
            headers = {"content-type": "application/json"}
            answer = await bench.tenant.owner.request(method, path, content=cut, headers=headers)
            found.keep(f"{method} {template}", answer)
        found.keep(f"{method} {template}", await stranger.request(method, path, json=body))
        for _ in range(2):
            answer = await bench.tenant.owner.request(method, path, json=body, headers=repeated)
            found.keep(f"{method} {template}", answer)


def _fields(template: str) -> frozenset[str]:
    return frozenset({"api_key"}) if template.endswith("rotate") else frozenset({"name", "base_url", "api_key"})


async def _fail(bench: Bench, found: Evidence, patch: pytest.MonkeyPatch, ids: dict[str, str]) -> None:
    """Let a failure's own text hold all the secrets, where a transfer is shown; and a table be away."""

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError(" ".join(secret.text for secret in found.secrets))

    with patch.context() as broken:
        broken.setattr(timeline_repository, "steps_of", fail)
        found.keep("500", await bench.tenant.owner.get(f"/v1/transfers/{ids['transfer_id']}"))
    for ending, back in (("", "_away"), ("_away", "")):
        async with bench.service.resources.database.transaction() as session:
            connection = await session.connection()
            await connection.exec_driver_sql(f"ALTER TABLE wallet_keys{ending} RENAME TO wallet_keys{back}")
        if back:
            body = {"api_key": found.secrets[3].text}
            path = f"/v1/external-wallets/{ids['wallet_id']}/api-key/rotate"
            found.keep("500", await bench.tenant.owner.post(path, json=body))


async def _credentials_everywhere(bench: Bench, found: Evidence, ids: dict[str, str]) -> None:
    """Send the owner's credential in every place of every call but the texts that are a caller's to choose."""
    secret = found.secrets[-1]
    good = {"x-api-key": secret.text}
    addresses = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))
    for operation in operations(bench.service.app.openapi(), ids):
        async with client_of(bench.service.app, client_ip=next(addresses)) as client:
            for sent in requests_with(secret, operation, good):
                if sent.place.startswith("body") and sent.place not in NOT_KEPT:
                    continue
                answer = await client.request(sent.method, sent.path, headers=dict(sent.headers), content=sent.content)
                found.keep(f"{operation.method} {operation.template}, {sent.place}", answer)


async def test_the_requests_reach_every_kind_of_answer(evidence: Evidence) -> None:
    """Success, each kind of refusal and a fault of ours are among the answers that were searched."""
    assert evidence.statuses.keys() >= {200, 201, 400, 401, 404, 409, 422, 500}, evidence.statuses


async def test_no_log_line_holds_a_secret(evidence: Evidence) -> None:
    """All that API and engine wrote at level debug, tracebacks included."""
    assert "http.request_failed" in evidence.log
    assert "transfer.called" in evidence.log
    assert traces(evidence.secrets, evidence.log) == []


async def test_no_row_holds_a_secret(evidence: Evidence) -> None:
    """Every row of every table, bytes in hexadecimal: audit, replays, timeline, events on their way; keys are sealed."""
    assert {name: found for name, rows in evidence.rows.items() if (found := traces(evidence.secrets, rows))} == {}
    written = ("wallet_keys", "audit_entries", "idempotency_keys", "step_attempts", "outbox")
    assert {name for name in written if not evidence.rows[name]} == set()


async def test_the_queue_holds_no_secret(evidence: Evidence) -> None:
    """Every key and value in Valkey."""
    assert traces(evidence.secrets, evidence.queue) == []


async def test_no_answer_holds_a_secret(evidence: Evidence) -> None:
    """Headers and bodies of all answers, but the key itself where a call is there to show it."""
    searched = {what: "\n".join(answers) for what, answers in evidence.answers.items()}
    assert {what: found for what, text in searched.items() if (found := traces(evidence.secrets, text))} == {}
