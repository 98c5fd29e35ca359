"""A sibling's memory is bounded, and every answer can be found by what it is about."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from shared.access.memory import Answer, Answers
from shared.principals import Principal


def answer(*, credential: int | None, tenant: int = 100, asked_at: float = 0.0) -> Answer:
    """Return an answer about a credential, or a denial."""
    principal = None
    if credential is not None:
        principal = Principal(
            credential_id=typeids.encode("key", UUID(int=credential)),
            kind="secret",
            name="key",
            tenant_id=UUID(int=tenant),
            environment="live",
            scopes=frozenset(),
        )
    return Answer(principal=principal, asked_at=asked_at, told_scopes=frozenset())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(1, 4)),
        st.tuples(st.just("deny"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("drop"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("drop tenant"), st.integers(0, 1), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_nothing_dropped_is_found_and_nothing_is_left_behind(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the order: a dropped credential or tenant leaves no answer, and the index holds only what is remembered."""
    memory = Answers(valid_max=5, denied_max=3)
    for what, number, credential in steps:
        name = b"%d" % number
        match what:
            case "put":
                memory.put(name, answer(credential=credential, tenant=100 + credential % 2))
            case "deny":
                memory.put(name, answer(credential=None))
            case "drop":
                memory.drop(UUID(int=number))
                assert UUID(int=number) not in memory._places
            case _:
                memory.drop(UUID(int=100 + number))
                assert UUID(int=100 + number) not in memory._places
        assert len(memory._valid) <= 5
        assert len(memory._denied) <= 3
        indexed = {name for names in memory._places.values() for name in names}
        assert indexed == set(memory._valid)
    memory.clear()
    assert len(memory) == 0


def test_an_overtaken_answer_does_not_replace_a_later_one() -> None:
    """The question decides which is later, not the order in which answers come."""
    memory = Answers()
    later = answer(credential=None, asked_at=2.0)
    memory.put(b"key", later)
    memory.put(b"key", answer(credential=1, asked_at=1.0))
    assert memory.get(b"key") is later


def test_guessing_pushes_out_no_real_answer() -> None:
    """Denials have their own room; of real answers, the least recently used goes first."""
    memory = Answers(valid_max=2, denied_max=3)
    memory.put(b"a", answer(credential=1))
    memory.put(b"b", answer(credential=2))
    for number in range(50):
        memory.put(b"guess-%d" % number, answer(credential=None))
    assert memory.get(b"a") is not None
    memory.put(b"c", answer(credential=3))
    assert memory.get(b"a") is not None
    assert memory.get(b"b") is None


def test_fingerprints_differ_by_process_key_and_address() -> None:
    """And hold nothing of the key."""
    first, second = Answers(), Answers()
    assert first.fingerprint("key", None) == first.fingerprint("key", None)
    assert first.fingerprint("key", None) != second.fingerprint("key", None)
    assert first.fingerprint("key", None) != first.fingerprint("kez", None)
