"""Tenants take turns, and none has more than its share at once."""

from uuid import UUID

import pytest

from wallet_gateway.reconciliation import turns as turns_module
from wallet_gateway.reconciliation.turns import Turns

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def test_whoever_was_served_last_is_last_in_line() -> None:
    """However often."""
    turns = Turns(each_max=2)
    for tenant in (A, B, A, C, A):
        turns.begin(tenant)
    assert turns.served == [B, C, A]


def test_a_tenant_is_busy_while_it_has_its_share() -> None:
    """And no longer, however a run ends."""
    turns = Turns(each_max=2)
    for tenant in (A, A, B):
        turns.begin(tenant)
    assert turns.busy == [A]
    with pytest.raises(RuntimeError), turns.ending(A):
        raise RuntimeError
    assert turns.busy == []


def test_of_many_tenants_the_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come first either way."""
    monkeypatch.setattr(turns_module, "_REMEMBERED_MAX", 2)
    turns = Turns(each_max=1)
    for tenant in (A, B, C):
        turns.begin(tenant)
    assert turns.served == [B, C]
