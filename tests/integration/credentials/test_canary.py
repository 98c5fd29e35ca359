"""Planted secrets, sent in every place of every documented call, are afterwards in no log, row, queue or answer."""

import base64
import io
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest

from credentials.roles import repository as roles_repository
from shared import key_format
from support.canary import Operation, Secret, all_in_queue, all_rows, operations, requests_with, traces
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.oauth_client import OAuthClient
from support.security_tokens import reveal

REVEAL = "/v1/security-token/reveal"
BROKEN_TABLES = ("api_keys", "api_key_versions", "tenants", "roles", "audit_entries")


@dataclass(slots=True)
class Evidence:
    """What was planted, and all that was left behind."""

    secrets: list[Secret]
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[str, list[str]] = field(default_factory=dict)
    exports: str = ""
    log: str = ""
    rows: dict[str, str] = field(default_factory=dict)
    queue: str = ""


class Planter:
    """Sends the secrets to one service, each request from another address, so that none is turned away for those before."""

    def __init__(self, service: CredentialsService, secrets: list[Secret], tenant_id: str, ids: dict[str, str]) -> None:
        self.evidence = Evidence(secrets)
        self._service = service
        self.tenant_id = tenant_id
        self._good = {"x-api-key": service.platform_key, "x-tenant-id": tenant_id}
        self.operations = operations(service.app.openapi(), ids)
        self._addresses = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))

    async def everywhere(self, chosen: list[Operation]) -> None:
        """Send every secret in every place of these operations."""
        for operation, secret in itertools.product(chosen, self.evidence.secrets):
            async with self._service.client(client_ip=next(self._addresses)) as client:
                for sent in requests_with(secret, operation, self._good):
                    answer = await client.request(
                        sent.method, sent.path, headers=dict(sent.headers), content=sent.content
                    )
                    self.keep(f"{operation.method} {operation.template}, {sent.place}", answer)

    async def guess(self, times: int) -> None:
        """Send the key that never was from one address, until that is too often."""
        secret = self.evidence.secrets[-1]
        async with self._service.client(secret.text) as client:
            for _ in range(times):
                self.keep("guess", await client.get("/v1/whoami"))

    async def look(self, path: str) -> None:
        """Keep what a call without any secret shows at the end."""
        self.keep(path, await self._service.client().get(path))

    def keep(self, what: str, answer: httpx2.Response) -> None:
        """Keep an answer, without the security token where that is what was asked for."""
        self.evidence.statuses[answer.status_code] += 1
        shown = answer.json()["token"] if REVEAL in what and answer.is_success else None
        text = answer.text.replace(shown, "") if shown else answer.text
        self.evidence.answers.setdefault(what, []).append(f"{answer.headers.raw!r}\n{text}")


@pytest.fixture(scope="module")
async def evidence(databases: Databases, valkey_url: str) -> AsyncIterator[Evidence]:
    """Plant the secrets, and return all that is left when the process has ended."""
    log = io.StringIO()
    async with databases.temporary("credentials") as url:
        wanted = {"log_level": "debug", "rate_limit_per_minute": 0}
        settings = settings_for(url, queue_url=valkey_url).model_copy(update=wanted)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", log)
            async with credentials_service(settings) as service:
                planter = await _planter(service)
                await _without_tables(service, planter)
                await _with_broken_repository(planter, patch)
                await planter.everywhere(planter.operations)
                await planter.guess(settings.guesses_per_minute + 5)
                await planter.look("/metrics")
                planter.evidence.exports = await _exports(service, planter)
        found = planter.evidence
        found.log, found.rows, found.queue = log.getvalue(), await all_rows(url), await all_in_queue(valkey_url)
        yield found


async def _planter(service: CredentialsService) -> Planter:
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    owner_key, client_key, victim = [
        await service.new_key(tenant_id, roles=["owner"] if number < 2 else []) for number in range(3)
    ]
    owner, oauth = service.client(owner_key["key"]), OAuthClient.of(service.client(), client_key)
    role = (await owner.post("/v1/roles", json={"name": "planted", "scopes": ["events:read"]})).json()
    secrets = [
        Secret("key", owner_key["key"]),
        Secret("security token", await reveal(owner)),
        Secret("access token", await oauth.token()),
        Secret("client secret", client_key["key"]),
        Secret("key that never was", key_format.generate("secret", "live")),
    ]
    return Planter(service, secrets, tenant_id, {"key_id": victim["id"], "role_id": role["id"], "tenant_id": other_id})


def _at(planter: Planter, *templates: str) -> list[Operation]:
    return [each for each in planter.operations if each.template in templates]


async def _without_tables(service: CredentialsService, planter: Planter) -> None:
    """Send with tables away, so that statements fail where the secrets are looked up."""
    database = service.resources.database
    for ending, back in (("", "_away"), ("_away", "")):
        async with database.transaction() as session:
            for name in BROKEN_TABLES:
                await (await session.connection()).exec_driver_sql(f"ALTER TABLE {name}{ending} RENAME TO {name}{back}")
        if back:
            await planter.everywhere(_at(planter, "/v1/whoami", "/v1/verify", "/oauth2/token"))


async def _with_broken_repository(planter: Planter, patch: pytest.MonkeyPatch) -> None:
    """Let a failure's own text hold all the secrets."""

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError(" ".join(secret.text for secret in planter.evidence.secrets))

    with patch.context() as broken:
        for name in ("page", "is_name_taken"):
            broken.setattr(roles_repository, name, fail)
        await planter.everywhere(_at(planter, "/v1/roles"))


async def _exports(service: CredentialsService, planter: Planter) -> str:
    await service.resources.denials.flush(at_once=True)
    headers: list[dict[str, str]] = [{}, {"x-tenant-id": planter.tenant_id}]
    answers = [await service.platform.get("/v1/audit-log/export", headers=each) for each in headers]
    return "\n".join(answer.text for answer in answers)


async def test_the_requests_reach_every_kind_of_answer(evidence: Evidence) -> None:
    """Success, each kind of refusal, a rate limit and a fault of ours are among the answers that were searched."""
    assert evidence.statuses.keys() >= {200, 201, 400, 401, 403, 404, 422, 429, 500}, evidence.statuses


async def test_no_log_line_holds_a_secret(evidence: Evidence) -> None:
    """All that the process wrote at level debug, tracebacks included."""
    assert "http.request_failed" in evidence.log
    assert traces(evidence.secrets, evidence.log) == []


async def test_no_row_holds_a_secret(evidence: Evidence) -> None:
    """Every row of every table, bytes in hexadecimal."""
    assert {name: found for name, rows in evidence.rows.items() if (found := traces(evidence.secrets, rows))} == {}
    assert all(evidence.rows[name] for name in ("api_keys", "audit_entries", "idempotency_keys"))


async def test_the_queue_holds_no_secret(evidence: Evidence) -> None:
    """Every key and value in Valkey."""
    assert traces(evidence.secrets, evidence.queue) == []


async def test_no_answer_holds_a_secret(evidence: Evidence) -> None:
    """Headers and bodies of all answers but the one that is there to show a secret."""
    searched = {what: "\n".join(answers) for what, answers in evidence.answers.items()}
    assert {what: found for what, text in searched.items() if (found := traces(evidence.secrets, text))} == {}


async def test_the_audit_export_holds_no_secret(evidence: Evidence) -> None:
    """The tenant's log and the platform's, as they are exported."""
    assert evidence.exports.count("\n") > len(evidence.secrets)
    assert traces(evidence.secrets, evidence.exports) == []


async def test_the_search_finds_a_secret_in_every_form() -> None:
    """As text without its ends, in hexadecimal, and in base64 wherever it starts, a secret is found."""
    secret = Secret("planted", key_format.generate("secret", "live"))
    shown = [secret.text, secret.core, secret.text.encode().hex()]
    shown += [base64.b64encode(b"x" * shift + secret.text.encode()).decode() for shift in range(3)]
    assert [len(traces([secret], f"before {text} after")) > 0 for text in shown] == [True] * len(shown)
    assert traces([secret], secret.text[:15] + secret.text[-4:]) == []
