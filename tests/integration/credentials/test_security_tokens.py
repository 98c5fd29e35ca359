"""The security token: there from the tenant's creation, shown again on demand, refreshed with an overlap, verified like a key."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from pydantic import SecretStr

from credentials.app import create_app
from shared import key_format
from shared.access import AccessClient
from shared.scopes import BUILT_IN_ROLES
from shared.typeids import decode
from support.apps import on_socket
from support.credentials_service import CredentialsService
from support.queries import recorded_statements
from support.security_tokens import CALLS, PATH, is_valid, refresh, reveal
from support.served_time import served_clock


async def test_a_new_tenant_has_a_token(service: CredentialsService) -> None:
    """Its metadata is that of the text that revealing shows, in the fixed format; the platform's key made it."""
    owner = await service.new_owner(await service.new_tenant())
    shown = (await owner.get(PATH)).json()
    token = await reveal(owner)
    form = key_format.parse(token)
    assert form is not None
    assert (form.kind, form.environment, form.prefix, form.last_four) == (
        "security_token",
        "live",
        shown["prefix"],
        shown["last_four"],
    )
    me = (await service.platform.get("/v1/whoami")).json()["id"]
    assert (shown["refreshed_by"], shown["last_used_at"], shown["expires_at"]) == (me, None, None)
    assert "token" not in shown
    assert token[20:40] not in (await owner.get(PATH)).text
    assert await reveal(owner) == token


async def test_it_is_verified_with_the_integration_role_and_nothing_more(service: CredentialsService) -> None:
    """A sibling is told kind, tenant, environment and scopes; keys, webhooks and wallets it does not administer."""
    tenant_id = await service.new_tenant()
    token = await reveal(await service.new_owner(tenant_id))
    answer = await service.client(service.service_key).post("/v1/verify", json={"credential": token})
    principal = answer.json()["principal"]
    assert (principal["kind"], principal["tenant_id"], principal["environment"]) == (
        "security_token",
        tenant_id,
        "live",
    )
    assert principal["credential_id"].startswith("stk_")
    assert set(principal["scopes"]) == BUILT_IN_ROLES["integration"]
    holder = service.client(token)
    own = (await holder.get("/v1/whoami")).json()
    assert (own["id"], own["kind"], own["tenant_id"]) == (principal["credential_id"], "security_token", tenant_id)
    assert own["effective_scopes"] == principal["scopes"]
    for path in ("/v1/api-keys", "/v1/roles"):
        assert (await holder.get(path)).status_code == 403
    for call in CALLS.values():
        assert (await call(holder)).status_code == 403


async def test_revealing_and_refreshing_are_not_to_be_stored(service: CredentialsService) -> None:
    """Both answers say so."""
    owner = await service.new_owner(await service.new_tenant())
    for call in ("reveal", "refresh"):
        assert (await CALLS[call](owner)).headers["cache-control"] == "no-store"


async def test_without_an_overlap_the_old_text_ends_at_once(service: CredentialsService) -> None:
    """The request after the refresh is denied, also by a process that has it in memory."""
    owner = await service.new_owner(await service.new_tenant())
    old = await reveal(owner)
    assert await is_valid(service, old)
    new = await refresh(owner)
    assert new != old
    assert not await is_valid(service, old)
    assert await is_valid(service, new)
    assert await reveal(owner) == new


async def test_with_an_overlap_both_are_accepted_until_it_ends(service: CredentialsService) -> None:
    """To the moment; the metadata says until when; a refresh without overlap then ends all of them."""
    owner = await service.new_owner(await service.new_tenant())
    first = await reveal(owner)
    second = await refresh(owner, overlap_seconds=1)
    ends_at = datetime.fromisoformat((await owner.get(PATH)).json()["overlap_ends_at"])
    while datetime.now(UTC) < ends_at:
        assert await is_valid(service, first) or datetime.now(UTC) >= ends_at
    assert not await is_valid(service, first)
    assert (await owner.get(PATH)).json()["overlap_ends_at"] is None
    third = await refresh(owner, overlap_seconds=3600)
    fourth = await refresh(owner, overlap_seconds=1800)
    assert [await is_valid(service, token) for token in (second, third, fourth)] == [True, True, True]
    fifth = await refresh(owner, overlap_seconds=0)
    tokens = (second, third, fourth, fifth)
    assert [await is_valid(service, token) for token in tokens] == [False, False, False, True]


async def test_a_later_refresh_never_prolongs_an_overlap(service: CredentialsService) -> None:
    """A text that was to end soon ends then, whatever later refreshes ask for."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    await refresh(owner, overlap_seconds=60)
    await refresh(owner, overlap_seconds=3600)
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT v.ends_at - now() < interval '61 s' FROM security_token_versions v"
            " JOIN security_tokens t ON t.id = v.token_id WHERE t.tenant_id = $1 ORDER BY number",
            (decode("ten", tenant_id),),
        )
        assert [row[0] for row in rows] == [True, False, None]


async def test_an_expiry_ends_it_also_within_an_overlap(service: CredentialsService) -> None:
    """The overlap never lasts past the old text's own expiry, and none outlives it."""
    owner = await service.new_owner(await service.new_tenant())
    soon = datetime.now(UTC) + timedelta(milliseconds=700)
    expiring = await refresh(owner, expires_at=soon.isoformat())
    assert datetime.fromisoformat((await owner.get(PATH)).json()["expires_at"]) == soon
    lasting = await refresh(owner, overlap_seconds=3600)
    overlap_ends_at = (await owner.get(PATH)).json()["overlap_ends_at"]
    assert overlap_ends_at is None or datetime.fromisoformat(overlap_ends_at) == soon
    while datetime.now(UTC) < soon:
        assert await is_valid(service, expiring) or datetime.now(UTC) >= soon
    assert not await is_valid(service, expiring)
    assert await is_valid(service, lasting)


async def test_a_refresh_is_seen_everywhere_within_a_second(service: CredentialsService) -> None:
    """In another API process, and in a sibling that follows that one, both warm."""
    owner = await service.new_owner(await service.new_tenant())
    token = await reveal(owner)
    async with on_socket(create_app(service.settings)) as url:
        sibling = AccessClient.open(url, SecretStr(service.service_key))
        async with (
            served_clock() as clock,
            httpx2.AsyncClient(base_url=url, headers={"x-api-key": token}, timeout=30) as direct,
        ):

            async def allowed() -> bool:
                heard = await sibling.verify(token, ip=None, scope="events:publish")
                return heard is not None or (await direct.get("/v1/whoami")).status_code == 200

            sibling.start_following()
            assert await allowed()
            await refresh(owner)
            refreshed_at = clock.now()
            while await allowed():
                await asyncio.to_thread(int)
                assert clock.now() - refreshed_at < 1.0
        await sibling.aclose()


async def test_a_suspended_tenants_token_is_denied(service: CredentialsService) -> None:
    """At once, and accepted again after activation."""
    tenant_id = await service.new_tenant()
    token = await reveal(await service.new_owner(tenant_id))
    for status, accepted in (("suspended", False), ("active", True)):
        await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": status})
        assert await is_valid(service, token) is accepted


async def test_uses_are_noted_without_a_write_for_each(service: CredentialsService) -> None:
    """Verifying costs one read at most; the newest use is written later, in one statement."""
    owner = await service.new_owner(await service.new_tenant())
    token = await reveal(owner)
    with recorded_statements(service.resources.database, of_this_task=True) as statements:
        for _ in range(20):
            assert await is_valid(service, token)
    assert not [statement for statement in statements if "INSERT" in statement.upper() or "UPDATE" in statement.upper()]
    before = datetime.now(UTC)
    await service.resources.security_token_uses.flush()
    used_at = datetime.fromisoformat((await owner.get(PATH)).json()["last_used_at"])
    assert before - timedelta(seconds=30) < used_at <= before


async def test_the_other_environment_and_other_tenants_have_no_part_in_it(service: CredentialsService) -> None:
    """A test key finds no token and refreshes none; each tenant has its own."""
    tenant_id = await service.new_tenant()
    live, test = await service.new_owner(tenant_id), await service.new_owner(tenant_id, environment="test")
    other = await service.new_owner(await service.new_tenant())
    token = await reveal(live)
    answers = [await call(test) for call in CALLS.values()]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 3
    assert await reveal(other) != token
    await refresh(other)
    assert await reveal(live) == token
    assert (await live.post(f"{PATH}/reveal", headers={"x-tenant-id": await service.new_tenant()})).status_code == 403


@pytest.mark.parametrize("call", CALLS)
async def test_each_call_needs_its_own_scope(service: CredentialsService, call: str) -> None:
    """Holding the other two is not enough."""
    tenant_id = await service.new_tenant()
    scopes = [f"security_token:{other}" for other in CALLS if other != call]
    client = service.client((await service.new_key(tenant_id, scopes=scopes))["key"])
    answer = await CALLS[call](client)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert f'scope="security_token:{call}"' in answer.headers["www-authenticate"]


async def test_a_service_credential_names_a_tenant_that_exists(service: CredentialsService) -> None:
    """And has the same answer for one that does not exist as for the wrong environment."""
    scopes = [f"security_token:{call}" for call in CALLS]
    key = (await service.new_key(None, kind="service", scopes=scopes))["key"]
    tenant_id = await service.new_tenant()
    for call in CALLS.values():
        assert (await call(service.client(key))).json()["code"] == "tenant_required"
        assert (await call(service.client(key, tenant_id="ten_01h455vb4pex5vsknk084sn02q"))).status_code == 404
        assert (await call(service.client(key, tenant_id=tenant_id))).status_code == 200


async def test_a_repeated_refresh_answers_without_the_token(service: CredentialsService) -> None:
    """The same Idempotency-Key refreshes once; the kept answer holds no text."""
    owner = await service.new_owner(await service.new_tenant())
    headers = {"idempotency-key": "refresh-once"}
    first = await owner.post(f"{PATH}/refresh", json={"overlap_seconds": 5}, headers=headers)
    again = await owner.post(f"{PATH}/refresh", json={"overlap_seconds": 5}, headers=headers)
    expected = first.json()
    token = expected.pop("token")
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, expected, "true")
    assert await reveal(owner) == token
    other = await owner.post(f"{PATH}/refresh", json={"overlap_seconds": 6}, headers=headers)
    assert other.json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"overlap_seconds": -1}, "/overlap_seconds"),
        ({"overlap_seconds": 2_592_001}, "/overlap_seconds"),
        ({"overlap_seconds": True}, "/overlap_seconds"),
        ({"overlap_seconds": "60"}, "/overlap_seconds"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"token": "cw_st_live_x"}, "/token"),
        ({"tenant_id": "ten_x"}, "/tenant_id"),
    ],
)
async def test_what_is_malformed_is_pointed_at(
    service: CredentialsService, wanted: dict[str, object], pointer: str
) -> None:
    """And refreshes nothing."""
    owner = await service.new_owner(await service.new_tenant())
    token = await reveal(owner)
    answer = await owner.post(f"{PATH}/refresh", json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await reveal(owner) == token


async def test_two_refreshes_at_once_make_two_texts_and_one_is_current(service: CredentialsService) -> None:
    """The second waits for the first; what is revealed is what verifies."""
    owner = await service.new_owner(await service.new_tenant())
    tokens = await asyncio.gather(*(refresh(owner) for _ in range(4)))
    current = await reveal(owner)
    assert current in tokens
    assert [await is_valid(service, token) for token in tokens].count(True) == 1
    assert await is_valid(service, current)
