"""Sealed values open for their own row and under a known key only."""

import base64
import dataclasses
import os
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.sealing import KeyringMalformedError, SealContext, SealingError, SealingKeyring, key_id_of

CONTEXT = SealContext(table="webhooks", column="sealed_secret", row_id=uuid4(), tenant_id=uuid4())
RING = SealingKeyring({"k1": os.urandom(32)})


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_again(plaintext: bytes) -> None:
    """Sealing then opening gives the same bytes, and the sealed form does not show them."""
    sealed = RING.seal(plaintext, context=CONTEXT)
    assert RING.open(sealed, context=CONTEXT) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    """Equal secrets cannot be recognised at rest."""
    assert RING.seal(b"secret", context=CONTEXT) != RING.seal(b"secret", context=CONTEXT)


@pytest.mark.parametrize(
    "change",
    [{"table": "other"}, {"column": "other"}, {"row_id": UUID(int=1)}, {"tenant_id": UUID(int=1)}, {"tenant_id": None}],
    ids=lambda change: next(iter(change)),
)
def test_a_value_copied_to_another_place_does_not_open(change: dict[str, object]) -> None:
    """Table, column, row and tenant are authenticated."""
    sealed = RING.seal(b"secret", context=CONTEXT)
    with pytest.raises(SealingError):
        RING.open(sealed, context=dataclasses.replace(CONTEXT, **change))  # type: ignore[arg-type]  # values by field name


def test_any_altered_byte_is_noticed() -> None:
    """A flipped bit anywhere in the sealed form makes it unopenable."""
    sealed = RING.seal(b"secret", context=CONTEXT)
    for index in range(len(sealed)):
        altered = sealed[:index] + bytes((sealed[index] ^ 1,)) + sealed[index + 1 :]
        with pytest.raises(SealingError):
            RING.open(altered, context=CONTEXT)


def test_rotation_opens_old_values_and_seals_new_ones_under_the_first_key() -> None:
    """With a new key in front, old values open; once the old key is gone, they do not."""
    old, new = os.urandom(32), os.urandom(32)
    sealed = SealingKeyring({"old": old}).seal(b"secret", context=CONTEXT)
    both = SealingKeyring({"new": new, "old": old})
    assert both.open(sealed, context=CONTEXT) == b"secret"
    assert key_id_of(both.seal(b"secret", context=CONTEXT)) == "new"
    with pytest.raises(SealingError):
        SealingKeyring({"new": new}).open(sealed, context=CONTEXT)


@pytest.mark.parametrize("text", ["", "k1", "k1:", "k1:!!", ":AAAA", "k1:AAAA", f"a:{'A' * 44},a:{'A' * 44}"])
def test_malformed_keyring_is_refused_without_showing_it(text: str) -> None:
    """A wrong setting stops the start, and the error holds no key."""
    with pytest.raises(KeyringMalformedError) as error:
        SealingKeyring.from_text(SecretStr(text))
    assert "AAAA" not in str(error.value)


def test_keyring_reads_the_setting() -> None:
    """The form id:base64, several by comma, the first one seals."""
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    assert SealingKeyring.from_text(SecretStr(f"a:{first}, b:{second}")).current_key_id == "a"
