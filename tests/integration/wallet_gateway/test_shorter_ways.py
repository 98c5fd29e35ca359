"""The shorter ways of hot routes answer as the whole way does: what is no plain call, and what is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from shared.quick_route import QuickBodyRoute
from support.gateway_service import Tenant
from wallet_gateway.balances.quick_route import BalancesRoute

Told = tuple[int, Any, list[tuple[str, str]]]

_OF_THE_MOMENT = {"x-request-id", "ratelimit", "content-length"}
_MOMENTS = {"age_ms", "fetched_at", "as_of"}
_QUERIES = [
    *(
        "owner_ref=c",
        "owner_ref=c&currency=USD",
        "owner_ref=a%20b+c",
        "owner_ref=%c3%a9",
        "&&owner_ref=c&&",
        "owner_ref=c%23",
    ),
    *(
        "",
        "owner_ref=",
        "owner_ref",
        "OWNER_REF=c",
        "owner_ref[]=c",
        "owner_ref=c;currency=USD",
        "owner_ref=%00",
        "owner_ref=%0a",
    ),
    *(
        "owner_ref=c&owner_ref=c",
        "owner_ref=c&x=1",
        "owner_ref=c&currency=usd",
        "owner_ref=c&currency=",
        "owner_ref=" + "x" * 129,
    ),
]
_PATHS = ["{id}", "{id}x", "ew_", "home", "%65w_", "ew_01jzzzzzzzzzzzzzzzzzzzzzzz"]
_READING: list[tuple[str, dict[str, str], bytes | None]] = [
    *(("GET", {}, None), ("HEAD", {}, None), ("OPTIONS", {}, None), ("DELETE", {}, None)),
    *(("GET", {}, b"{}"), ("GET", {}, b'{"a":1}'), ("GET", {"content-encoding": "gzip"}, b"x")),
    *(
        ("GET", {name: value}, None)
        for name, value in [("x-environment", "test"), ("x-environment", "?"), ("accept", "x/y")]
    ),
    *(("GET", {"x-api-key": key}, None) for key in ["", "cw_sk_live_x"]),
]
_ORDER = {
    "owner_ref": "c",
    "source": {"wallet": "home", "account": "a"},
    "target": {"wallet": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz", "account": "b"},
    "amount": "1.00",
    "currency": "USD",
}
_ORDERS = [
    orjson.dumps(_ORDER),
    *(
        orjson.dumps({**_ORDER, "amount": amount})
        for amount in ["0", "1.001", "1e3", "-1", "1\n", "\u0660.\u0665", 1, 1.5, None]
    ),
    *(orjson.dumps({**_ORDER, "currency": currency}) for currency in ["usd", "ZZZ", ""]),
    *(orjson.dumps({**_ORDER, name: value}) for name, value in [("x", 1), ("metadata", None), ("source", "home")]),
    *(b"", b"{", b"[]", b"NaN", b"\xff", orjson.dumps(_ORDER)[:-1] + b',"amount":"2.00"}'),
]
_JSON = {"content-type": "application/json"}
_WRITING: list[tuple[str, dict[str, str]]] = [
    *((query, {**_JSON, "idempotency-key": "k"}) for query in ["", "?", "?wait_ms=0", "?wait_ms=x", "?x=1"]),
    ("", _JSON),
    *(("", {**_JSON, "idempotency-key": key}) for key in ["", "k 1"]),
    *(
        ("", {"content-type": kind, "idempotency-key": "k"})
        for kind in ["text/plain", "application/json; charset=utf-8"]
    ),
    ("", {"idempotency-key": "k"}),
]


@pytest.fixture
async def wallet_id(tenant: Tenant) -> AsyncIterator[str]:
    """Return a wallet that answers, remembered for no time."""
    async with tenant.served_wallet(balance_cache_seconds=0) as (made, _):
        yield made["id"]


@asynccontextmanager
async def _whole_way() -> AsyncIterator[None]:
    async def none(*_arguments: object) -> None:
        return None

    with patch.object(BalancesRoute, "well_formed", none), patch.object(QuickBodyRoute, "well_formed", none):
        yield


async def _told(tenant: Tenant, calls: list[tuple[str, str, dict[str, str], bytes | None]]) -> list[Told]:
    """Return what each call was told, without what differs from one moment to the next."""
    told = []
    for method, path, headers, body in calls:
        answer = await tenant.owner.request(method, path, headers=headers, content=body)
        kept = sorted((name, value) for name, value in answer.headers.items() if name not in _OF_THE_MOMENT)
        content = orjson.loads(answer.content) if answer.content else None
        if isinstance(content, dict):
            content.pop("request_id", None)
            for item in content.get("data", []):
                for name in _MOMENTS:
                    item.pop(name, None)
        told.append((answer.status_code, content, kept))
    return told


async def _same_both_ways(tenant: Tenant, calls: list[tuple[str, str, dict[str, str], bytes | None]]) -> list[int]:
    shorter = await _told(tenant, calls)
    async with _whole_way():
        whole = await _told(tenant, calls)
    different = [(call, short, long) for call, short, long in zip(calls, shorter, whole, strict=True) if short != long]
    assert not different
    return [status for status, _, _ in shorter]


async def test_balances_are_shown_the_same_both_ways(tenant: Tenant, wallet_id: str) -> None:
    """Queries, paths, bodies, methods and headers of every form."""
    path = f"/v1/external-wallets/{wallet_id}/balances"
    calls: list[tuple[str, str, dict[str, str], bytes | None]] = [
        *(("GET", f"{path}?{query}", {}, None) for query in _QUERIES),
        *(
            ("GET", f"/v1/external-wallets/{form.format(id=wallet_id)}/balances?owner_ref=c", {}, None)
            for form in _PATHS
        ),
        *((method, f"{path}?owner_ref=c", headers, body) for method, headers, body in _READING),
    ]
    statuses = await _same_both_ways(tenant, calls)
    assert {200, 401, 404, 405, 422} <= set(statuses)


async def test_transfers_are_refused_the_same_both_ways(tenant: Tenant) -> None:
    """Bodies, queries, keys and content types of every form; none of them begins anything."""
    calls: list[tuple[str, str, dict[str, str], bytes | None]] = [
        ("POST", f"/v1/transfers{query}", headers, body) for query, headers in _WRITING for body in _ORDERS
    ]
    statuses = await _same_both_ways(tenant, calls)
    assert set(statuses) <= {404, 415, 422, 400, 409}, set(statuses)
    assert 422 in statuses
