"""Whether two wallets are one system, registered twice."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from shared.egress import AddressPolicy
from wallet_gateway.external_wallets.base_url import check_base_url
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.same_system import canonical, stays_within

URL = "https://wallet.example.com/causeway"
_AT = datetime(2026, 11, 25, tzinfo=UTC)


def _wallet(**fields: Any) -> Wallet:
    unset = dict.fromkeys(Wallet.__dataclass_fields__)
    usual = {"id": uuid4(), "base_url": URL, "protocol": "ewp/1", "created_at": _AT, "updated_at": _AT}
    return Wallet(**{**unset, **usual, **fields})


def _says(system_id: str | None) -> dict[str, Any]:
    return {"system_id": system_id}


@pytest.mark.parametrize(
    "other",
    [
        "https://wallet.example.com/causeway/",
        "HTTPS://Wallet.Example.COM/causeway",
        "https://wallet.example.com:443/causeway",
        "https://wallet.example.com./causeway",
        "HTTPS://WALLET.example.com.:443/causeway/",
    ],
)
def test_one_place_has_one_form(other: str) -> None:
    """Case, a default port, a last dot and a last slash make no other place."""
    check_base_url(other, policy=AddressPolicy())
    assert canonical(other) == canonical(URL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://wallet.example.com", "https://wallet.example.com/"),
        ("https://b\u00fccher.example/x", "https://XN--BCHER-KVA.example/x/"),
        ("https://[2606:4700::1]/x", "https://[2606:4700:0:0:0:0:0:1]:443/x"),
    ],
)
def test_names_and_addresses_have_one_form(one: str, other: str) -> None:
    """An international name and its ASCII form, an address with and without its zeros, no path and a slash."""
    for spelling in (one, other):
        check_base_url(spelling, policy=AddressPolicy())
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    "other",
    [
        "http://wallet.example.com/causeway",
        f"{URL}/b",
        "https://wallet.example.com:444/causeway",
        "https://wallet.example.com/Causeway",
    ],
)
def test_another_place_has_another_form(other: str) -> None:
    """Scheme, port and path do."""
    assert canonical(other) != canonical(URL)


def _asked(source: Wallet, target: Wallet, *accounts: str) -> bool | None:
    source_account, target_account = accounts or ("w1", "w1")
    return stays_within(source, target, source_account=source_account, target_account=target_account)


def test_what_a_system_calls_itself_decides() -> None:
    """Wherever it is reached, and whatever the accounts; two systems behind one address are two."""
    one = _wallet(capabilities=_says("s-1"))
    assert _asked(one, _wallet(base_url="https://other.example.com", capabilities=_says("s-1")), "w1", "w2") is True
    assert _asked(one, _wallet(capabilities=_says("s-2"))) is False


def test_of_a_system_without_a_name_nothing_is_certain() -> None:
    """The same address and the same account may be two systems, told apart by their keys; where nobody has names they are one."""
    one, nameless = _wallet(capabilities=_says("s-1")), _wallet(capabilities={})
    assert _asked(one, nameless) is None
    assert _asked(nameless, _wallet(capabilities=_says(None))) is None
    assert _asked(nameless, _wallet()) is None
    assert _asked(one, nameless, "w1", "w2") is False
    assert _asked(one, replace(nameless, base_url="https://other.example.com")) is False
    assert _asked(_wallet(protocol="crm-v1"), _wallet(protocol="crm-v1")) is True


def test_one_wallet_is_itself() -> None:
    """Whatever it says."""
    one = _wallet()
    assert _asked(one, one, "w1", "w2") is True
