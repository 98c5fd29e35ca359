"""What a wallet may be set to: every bound, every unknown field, and every base URL that leads astray."""

from typing import Any

import pytest

from support.databases import Databases
from support.gateway_service import BASE_URL, Tenant, fresh_gateway_service
from wallet_gateway.external_wallets.base_url import BASE_URL_CHARS_MAX

GOOD_CALL = {
    "transfer_path": "/transfers",
    "fields": {"op": "type", "owner_ref": "user", "amount": "amount", "currency": "currency"},
    "success_field": "status",
    "success_value": "done",
}

BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 129}, "/name"),
    ({"name": "a\u0000b"}, "/name"),
    ({"base_url": ""}, "/base_url"),
    ({"protocol": "ewp/2"}, "/protocol"),
    ({"response_signatures": "sometimes"}, "/response_signatures"),
    ({"timeout_seconds": 0}, "/timeout_seconds"),
    ({"timeout_seconds": 31}, "/timeout_seconds"),
    ({"timeout_seconds": "5"}, "/timeout_seconds"),
    ({"timeout_seconds": True}, "/timeout_seconds"),
    ({"balance_cache_seconds": -1}, "/balance_cache_seconds"),
    ({"balance_cache_seconds": 61}, "/balance_cache_seconds"),
    ({"step_seconds": 9}, "/step_seconds"),
    ({"step_seconds": 601}, "/step_seconds"),
    ({"metadata": {"k": 1}}, "/metadata/k"),
    ({"metadata": {str(n): "v" for n in range(51)}}, "/metadata"),
    ({"enabled": False}, "/enabled"),
    ({"is_home": True}, "/is_home"),
    ({"frozen": False}, "/frozen"),
    ({"tenant_id": "ten_01jzzzzzzzzzzzzzzzzzzzzzzz"}, "/tenant_id"),
    ({"transfer_call": GOOD_CALL}, ""),
    ({"protocol": "crm-v1", "response_signatures": "required"}, ""),
]
BAD_CALLS: list[dict[str, Any]] = [
    {"transfer_path": "transfers"},
    {"transfer_path": "/../transfers"},
    {"transfer_path": "//evil"},
    {"transfer_path": "/a?b=c"},
    {"transfer_path": "/a/"},
    {"method": "GET"},
    {"fields": {"op": "type", "owner_ref": "user", "amount": "amount"}},
    {"fields": {**GOOD_CALL["fields"], "amount": "user"}},  # type: ignore[dict-item]  # the literal's own type is wider
    {"fields": {**GOOD_CALL["fields"], "colour": "c"}},  # type: ignore[dict-item]  # the same
    {"success_field": ""},
    {"credit_value": "x", "debit_value": "x"},
    {"amount_as": "float"},
    {"unknown": 1},
]
BAD_URLS = [
    "http://wallet.example.com",
    "https://user@wallet.example.com",
    "https://user:password@wallet.example.com/",
    "https://wallet.example.com/?a=b",
    "https://wallet.example.com/base?",
    "https://wallet.example.com/#f",
    "https://wallet.example.com/a/../b",
    "https://wallet.example.com/a/%2e%2e/b",
    "https://wallet.example.com/a/%2E./b",
    "https://wallet.example.com/./b",
    "https://wallet.example.com//evil.example.com",
    "https://wallet.example.com/a//b",
    "https://wallet.example.com\\@127.0.0.1",
    "https://wallet.example.com/a b",
    "https://wallet.example.com/ä",
    "https://wallet.example.com/%zz",
    "https://wallet.example.com/%7Ea",
    "https://wallet.example.com:22/",
    "https://127.0.0.1/",
    "https://169.254.169.254/latest",
    "https://[::1]/",
    "https://2130706433/",
    "https://localhost/",
    "https://wallet.internal/",
    "https://wallet",
    "ftp://wallet.example.com",
    "//wallet.example.com",
    "wallet.example.com",
    "https://wallet.example.com/" + "x" * 1000,
    "https://wallet.example.com/cw_sk_live_" + "x" * 49,
]


def _refusal_of(url: str) -> tuple[int, str]:
    """Return how a bad URL is refused: one that is too long is already by its form."""
    return (422, "validation_failed" if len(url) > BASE_URL_CHARS_MAX else "destination_not_allowed")


@pytest.fixture(scope="module")
async def production(databases: Databases) -> Any:
    """Return a tenant of a gateway to which no address is opened."""
    async with fresh_gateway_service(databases, egress_allow_cidrs=()) as running:
        yield await running.new_tenant()


async def _refused(answer: Any, pointer: str) -> None:
    assert answer.status_code == 422, answer.text
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}, answer.text


@pytest.mark.parametrize(("fields", "pointer"), BAD_FIELDS, ids=[str(fields)[:40] for fields, _ in BAD_FIELDS])
async def test_fields_out_of_bounds_are_pointed_at(production: Tenant, fields: dict[str, Any], pointer: str) -> None:
    """By registration, by change and for the home wallet; nothing is ignored, nothing is rounded."""
    body = {"name": "x", "base_url": BASE_URL, **fields}
    await _refused(await production.owner.post("/v1/external-wallets", json=body), pointer)
    await _refused(await production.owner.put("/v1/home-wallet", json=body), pointer)


@pytest.mark.parametrize("change", BAD_CALLS, ids=str)
async def test_a_write_call_that_leaves_something_open_is_refused(production: Tenant, change: dict[str, Any]) -> None:
    """Nothing about moving money is guessed."""
    body = {"name": "x", "base_url": BASE_URL, "protocol": "crm-v1", "transfer_call": {**GOOD_CALL, **change}}
    answer = await production.owner.post("/v1/external-wallets", json=body)
    assert answer.status_code == 422, answer.text
    assert all(error["pointer"].startswith("/transfer_call") for error in answer.json()["errors"])


@pytest.mark.parametrize("url", BAD_URLS)
async def test_a_base_url_that_leads_astray_is_refused(production: Tenant, url: str) -> None:
    """422 `destination_not_allowed` at `/base_url`: when registering, when changing, and for the home wallet."""
    made = await production.new_wallet()
    calls = [
        production.owner.post("/v1/external-wallets", json={"name": "x", "base_url": url}),
        production.owner.patch(f"/v1/external-wallets/{made['id']}", json={"base_url": url}),
        production.owner.put("/v1/home-wallet", json={"base_url": url}),
    ]
    for call in calls:
        answer = await call
        assert (answer.status_code, answer.json()["code"]) == _refusal_of(url), answer.text
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "/base_url"
        assert "cw_sk_live_xx" not in answer.text
    await production.owner.delete(f"/v1/external-wallets/{made['id']}")


@pytest.mark.parametrize(
    "url",
    [
        "https://wallet.example.com",
        "https://wallet.example.com/",
        "https://wallet.example.com/causeway/",
        "https://wallet.example.com:8443/a/b-c/~d%20",
        "https://8.8.8.8/x",
    ],
)
async def test_other_base_urls_are_kept_as_written(production: Tenant, url: str) -> None:
    """With or without a path, a port, a slash at the end."""
    made = await production.new_wallet(base_url=url)
    assert made["base_url"] == url
    await production.owner.delete(f"/v1/external-wallets/{made['id']}")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"protocol": "crm-v1"}, "/protocol"),
        ({"name": None}, "/name"),
        ({"timeout_seconds": None}, "/timeout_seconds"),
        ({"transfer_call": GOOD_CALL}, "/transfer_call"),
        ({"api_key": "x" * 30}, "/api_key"),
        ({"enabled": True}, "/enabled"),
    ],
)
async def test_changes_that_are_none_are_pointed_at(production: Tenant, change: dict[str, Any], pointer: str) -> None:
    """The protocol is fixed, keys are rotated, and what is never empty cannot be set to null."""
    made = await production.new_wallet()
    await _refused(await production.owner.patch(f"/v1/external-wallets/{made['id']}", json=change), pointer)
    await production.owner.delete(f"/v1/external-wallets/{made['id']}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("unfreeze", {"evidence": "x", "more": 1}),
        ("unfreeze", {}),
        ("api-key/rotate", {"overlap": 1}),
        ("api-key/rotate", {"overlap_seconds": -1}),
        ("api-key/rotate", {"overlap_seconds": 30 * 86_400 + 1}),
        ("enable", {"pending": "skip"}),
        ("test-connection", {"deep": True}),
    ],
)
async def test_unknown_fields_of_actions_are_refused(production: Tenant, path: str, body: dict[str, Any]) -> None:
    """422, and nothing is done."""
    made = await production.new_wallet()
    answer = await production.owner.post(f"/v1/external-wallets/{made['id']}/{path}", json=body)
    assert answer.status_code == 422, answer.text
    await production.owner.delete(f"/v1/external-wallets/{made['id']}")
