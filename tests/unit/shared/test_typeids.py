"""Ids: UUIDv7 inside, TypeID text outside."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from shared.typeids import NO_ID, IdInPath, MalformedIdError, TypeId, created_at, decode, encode, lower_bound, new_id


def test_known_answer_of_the_specification() -> None:
    """The example of the TypeID specification reads both ways."""
    uuid = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert encode("prefix", uuid) == "prefix_01h455vb4pex5vsknk084sn02q"
    assert decode("prefix", "prefix_01h455vb4pex5vsknk084sn02q") == uuid


@given(st.uuids())
def test_every_uuid_comes_back(uuid: UUID) -> None:
    """Encoding loses nothing."""
    assert decode("wh", encode("wh", uuid)) == uuid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wh_",
        "wh",
        "key_01h455vb4pex5vsknk084sn02q",
        "01h455vb4pex5vsknk084sn02q",
        "wh_01H455VB4PEX5VSKNK084SN02Q",
        "wh_81h455vb4pex5vsknk084sn02q",
        "wh_01h455vb4pex5vsknk084sn02",
        "wh_01h455vb4pex5vsknk084sn02qq",
        "wh_01h455vb4pex5vsknk084sn02u",
        "wh_01h455vb4pex5vsknk084sn02é",
        "wh_01h455vb4pex5vsknk084sn0\x00q",
        "wh_wh_01h455vb4pex5vsknk084sn02q",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    """Other prefix, wrong length, foreign letters, capitals, overflow: all one error."""
    with pytest.raises(MalformedIdError):
        decode("wh", text)


@given(st.text(max_size=40))
def test_no_text_raises_another_error(text: str) -> None:
    """Whatever stands in a path, reading it ends in an id or in MalformedIdError."""
    with contextlib.suppress(MalformedIdError):
        decode("wh", text)


def test_new_ids_are_ordered_and_carry_their_time() -> None:
    """Ids sort by their making, and tell when that was."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert ids[0].version == 7
    assert before <= created_at(ids[0]) <= datetime.now(UTC)
    assert lower_bound(before) <= ids[0] < lower_bound(datetime.now(UTC) + timedelta(seconds=1))


def test_model_field_shows_text_and_holds_a_uuid() -> None:
    """A marked field is TypeID text on the wire."""

    class Thing(BaseModel):
        id: Annotated[UUID, TypeId("wh")]

    uuid = new_id()
    thing = Thing.model_validate({"id": encode("wh", uuid)})
    assert thing.id == uuid
    assert thing.model_dump(mode="json") == {"id": encode("wh", uuid)}


def test_malformed_id_in_a_path_becomes_an_id_that_nothing_has() -> None:
    """So that it takes the same way as an unknown one."""
    adapter: TypeAdapter[UUID] = TypeAdapter(Annotated[UUID, IdInPath("wh")])
    assert adapter.validate_python("nonsense") == NO_ID
    assert adapter.validate_python(encode("wh", UUID(int=7))) == UUID(int=7)
