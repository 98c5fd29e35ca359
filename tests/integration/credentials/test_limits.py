"""Guessing is slowed down by address, and each key has its allowance; forged hops change neither."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx2
import pytest

from credentials.app import create_app
from credentials.settings import Settings
from shared import key_format
from support.apps import client_of
from support.credentials_service import CredentialsService, credentials_service, settings_for
from support.databases import Databases
from support.queries import recorded_statements

GUESSES = 20
PROXY = "198.51.100.1"
FLOODING = "192.0.2.66"


@pytest.fixture(scope="module")
async def limited(databases: Databases) -> AsyncIterator[CredentialsService]:
    """Return a service with small limits behind a proxy."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url).model_copy(
            update={"guesses_per_minute": GUESSES, "trusted_proxies": (ip_network(f"{PROXY}/32"),)}
        )
        async with credentials_service(settings) as running:
            yield running


@asynccontextmanager
async def another_process(settings: Settings, **update: int) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client without a credential for an API process of its own."""
    app = create_app(settings.model_copy(update=update))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def flood(client: httpx2.AsyncClient, count: int, **headers: str) -> list[httpx2.Response]:
    """Send random well-formed keys, one after the other."""
    return [
        await client.get("/v1/whoami", headers={"x-api-key": key_format.generate("secret", "live"), **headers})
        for _ in range(count)
    ]


async def test_a_guess_flood_is_answered_429_and_a_real_key_from_there_is_not(limited: CredentialsService) -> None:
    """Random keys from one address: 401, then 429 with Retry-After; a key never seen before passes all the same."""
    made = await limited.new_key(await limited.new_tenant())
    client = limited.client(client_ip=FLOODING)
    answers = await flood(client, 3 * GUESSES)
    assert [answer.status_code for answer in answers] == [401] * GUESSES + [429] * (2 * GUESSES)
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == f'"guesses";q={GUESSES};w=60'
    assert refused.headers["ratelimit"].startswith('"guesses";r=0;t=')
    # Also with a wrong checksum; and what is no key at all is simply none.
    wrong = await client.get("/v1/whoami", headers={"x-api-key": "cw_sk_live_" + "0" * 49})
    nonsense = await client.get("/v1/whoami", headers={"x-api-key": "nonsense"})
    assert (wrong.status_code, nonsense.status_code) == (429, 401)
    for _ in range(2):
        real = await client.get("/v1/whoami", headers={"x-api-key": made["key"]})
        assert real.status_code == 200
    (elsewhere,) = await flood(limited.client(client_ip="192.0.2.67"), 1)
    assert elsewhere.status_code == 401


async def test_a_flood_at_once_leaves_the_database_to_others(limited: CredentialsService) -> None:
    """Most of it is turned away without a query."""
    client = limited.client(client_ip="192.0.2.80")
    await flood(client, GUESSES)
    with recorded_statements(limited.resources.database) as statements:
        counts = Counter(
            answers[0].status_code for answers in await asyncio.gather(*(flood(client, 1) for _ in range(300)))
        )
    assert counts == {429: 300}
    assert len(statements) <= 100


async def test_a_forged_hop_is_no_other_address(limited: CredentialsService) -> None:
    """Neither from a caller that is no proxy, nor left of the hop that the proxy added."""
    for number in range(GUESSES):
        direct = limited.client(client_ip="192.0.2.70")
        await flood(direct, 1, **{"x-forwarded-for": f"203.0.113.{number}"})
        proxied = limited.client(client_ip=PROXY)
        await flood(proxied, 1, **{"x-forwarded-for": f"203.0.113.{number}, 192.0.2.71"})
    (answer,) = await flood(direct, 1, **{"x-forwarded-for": "203.0.113.200"})
    assert answer.status_code == 429
    (answer,) = await flood(proxied, 1, **{"x-forwarded-for": "203.0.113.200, 192.0.2.71"})
    assert answer.status_code == 429
    (answer,) = await flood(proxied, 1, **{"x-forwarded-for": "192.0.2.71, 192.0.2.72"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("client_ip", "forwarded", "status"),
    [
        ("203.0.113.10", None, 200),
        ("203.0.113.16", None, 401),
        ("203.0.113.15", None, 200),
        ("203.0.112.255", None, 401),
        ("::ffff:203.0.113.10", None, 200),
        ("2001:db8:1::1", None, 200),
        ("2001:db8:2::1", None, 401),
        # The caller writes whatever it likes; only what a trusted proxy added counts.
        ("192.0.2.90", "203.0.113.10", 401),
        (PROXY, "203.0.113.10, 192.0.2.91", 401),
        (PROXY, "203.0.113.10", 200),
        (PROXY, "192.0.2.91, 203.0.113.10", 200),
        (PROXY, "192.0.2.91, ::ffff:203.0.113.10", 200),
        (PROXY, f"203.0.113.10, 192.0.2.92, {PROXY}", 401),
        (PROXY, f"192.0.2.92, 203.0.113.10, {PROXY}", 200),
        (PROXY, "203.0.113.10, nonsense", 401),
        (PROXY, None, 401),
    ],
)
async def test_the_address_list_judges_the_hop_nobody_can_forge(
    limited: CredentialsService, client_ip: str, forwarded: str | None, status: int
) -> None:
    """The leftmost hop is anybody's claim; edges of a list, IPv6 and IPv4 in IPv6 form are judged by network."""
    made = await limited.new_key(
        await limited.new_tenant(), allowed_cidrs=["203.0.113.0/28", "2001:db8:1::/48"], scopes=[]
    )
    client = limited.client(made["key"], client_ip=client_ip)
    answer = await client.get("/v1/whoami", headers={"x-forwarded-for": forwarded} if forwarded else {})
    assert answer.status_code == status


async def test_each_key_has_its_own_allowance_and_is_told_what_is_left(service: CredentialsService) -> None:
    """On every answer; beyond it 429 with Retry-After. Another key of the same tenant is not touched."""
    tenant_id = await service.new_tenant()
    first, second = [(await service.new_key(tenant_id))["key"] for _ in range(2)]
    async with another_process(service.settings, rate_limit_per_minute=5) as client:
        answers = [await client.get("/v1/whoami", headers={"x-api-key": first}) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == [
            *("r=4", "r=3", "r=2", "r=1", "r=0", "r=0", "r=0")
        ]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=5;w=60'}
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
        assert answers[-1].json()["code"] == "too_many_requests"
        assert (await client.get("/v1/whoami", headers={"x-api-key": second})).status_code == 200


async def test_siblings_are_not_limited(service: CredentialsService) -> None:
    """They ask for all their callers."""
    async with another_process(service.settings, rate_limit_per_minute=1) as client:
        for _ in range(3):
            answer = await client.get("/v1/revocations", headers={"x-api-key": service.service_key})
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


async def test_every_authenticated_operation_documents_the_limit(service: CredentialsService) -> None:
    """429 with its code."""
    document = service.app.openapi()
    for path, operations in document["paths"].items():
        media_type = "application/json" if path.startswith("/oauth2/") else "application/problem+json"
        for operation in operations.values():
            if operation.get("security"):
                content = operation["responses"]["429"]["content"][media_type]
                assert "too_many_requests" in content["examples"]
