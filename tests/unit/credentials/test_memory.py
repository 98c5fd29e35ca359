"""The memory of looked-up keys is bounded, and what is old is not used."""

from credentials.verification.memory import KNOWN_SECONDS, UNKNOWN_SECONDS, Found, Memory
from shared import key_format
from support.stored_keys import STORED_KEY


def found(*, known: bool, read_at: float = 0.0) -> Found:
    """Return an answer of the database."""
    return Found(key=STORED_KEY if known else None, sequence=0, epoch=0, read_at=read_at)


def test_guessing_does_not_push_out_real_keys() -> None:
    """Unknown keys fill their own small room only."""
    memory = Memory(known_max=2, unknown_max=3)
    memory.put(b"real", found(known=True))
    for number in range(100):
        memory.put(b"guess-%d" % number, found(known=False))
    assert memory.get(b"real", now=0.0) is not None
    assert len(memory) == 1 + 3


def test_least_recently_used_goes_first() -> None:
    """What is asked for stays."""
    memory = Memory(known_max=2)
    memory.put(b"a", found(known=True))
    memory.put(b"b", found(known=True))
    memory.get(b"a", now=0.0)
    memory.put(b"c", found(known=True))
    assert memory.get(b"a", now=0.0) is not None
    assert memory.get(b"b", now=0.0) is None


def test_what_is_old_is_not_used() -> None:
    """Known keys for a minute, unknown ones for a second."""
    memory = Memory()
    memory.put(b"known", found(known=True))
    memory.put(b"unknown", found(known=False))
    assert memory.get(b"known", now=KNOWN_SECONDS - 0.01) is not None
    assert memory.get(b"known", now=KNOWN_SECONDS) is None
    assert memory.get(b"unknown", now=UNKNOWN_SECONDS - 0.01) is not None
    assert memory.get(b"unknown", now=UNKNOWN_SECONDS) is None


def test_a_key_that_became_known_is_no_longer_unknown() -> None:
    """The newer answer replaces the older, whichever room it was in."""
    memory = Memory()
    memory.put(b"key", found(known=False))
    memory.put(b"key", found(known=True))
    got = memory.get(b"key", now=0.0)
    assert got is not None
    assert got.key is STORED_KEY
    assert len(memory) == 1


def test_fingerprints_mean_nothing_in_another_process() -> None:
    """The same key has another fingerprint in each memory, and the key itself is not kept."""
    key = key_format.generate("secret", "live")
    memory = Memory()
    assert memory.fingerprint(key) == memory.fingerprint(key)
    assert memory.fingerprint(key) != Memory().fingerprint(key)
