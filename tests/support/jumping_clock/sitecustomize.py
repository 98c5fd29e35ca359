"""Lets a test set the wall clock of the processes it starts, while they run: put this folder on their ``PYTHONPATH``.

``CHAOS_CLOCK_FILE`` names a file that holds by how many seconds their clock is ahead. The monotonic clock stays as it is, as
when a machine's time is set; so does the database's clock, which is not Python.
"""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_POLL_SECONDS = 0.02


def _follow(path: Path) -> None:
    import time_machine  # noqa: PLC0415 - only where it is wanted: this module is imported by every process

    real_now = time.time
    ahead, travel = 0.0, None
    pause = time.sleep
    while True:
        wanted = float(path.read_text() or "0")
        if wanted != ahead:
            if travel is not None:
                travel.stop()
            travel = time_machine.travel(datetime.fromtimestamp(real_now(), UTC) + timedelta(seconds=wanted), tick=True)
            travel.start()
            ahead = wanted
        pause(_POLL_SECONDS)


if "CHAOS_CLOCK_FILE" in os.environ:
    threading.Thread(target=_follow, args=(Path(os.environ["CHAOS_CLOCK_FILE"]),), daemon=True).start()
