"""Python's collector of cycles, while a process serves. Used by every API and worker."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_YOUNG_OBJECTS: Final = 20_000


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let it look at what has come since alone, and after so many objects that no request and no batch of work makes as many.

    To be entered when everything is opened: what is there by then stays until the end, and looking through it takes a tenth of a
    second, for which all requests wait. So it is not looked through at the beginning either. Hardly anything that work makes is
    part of a cycle.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
