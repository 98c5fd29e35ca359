# ruff: noqa: INP001 - a file that is run, not a package
"""Container health check: exit 0 when this container's process is well, else say why and exit 1.

Without an argument it asks the API's ``/readyz`` on ``PORT``. With ``worker``, which answers no port, it looks at the age of
``CAUSEWAY_HEARTBEAT_FILE``, which the worker touches every 2 s (shared.heartbeat) from its start to its end: a worker that hangs
grows old, and one that fails ends by itself. Run over and over in each container, so it imports little and needs no curl.
"""

import os
import sys
import time

_TIMEOUT_SECONDS = 3.0
_ANSWER_BYTES_MAX = 4096
_HEARTBEAT_AGE_SECONDS_MAX = 10.0


def worker_fault(heartbeat_file: str, *, now: float) -> str | None:
    """Judge the heartbeat at the time ``now``: None when it is fresh."""
    try:
        age_seconds = now - os.stat(heartbeat_file).st_mtime  # noqa: PTH116 - importing pathlib costs as much as all the rest here
    except FileNotFoundError:
        return f"no heartbeat at {heartbeat_file}: the worker is still starting"
    if age_seconds > _HEARTBEAT_AGE_SECONDS_MAX:
        return f"the worker hangs: its last heartbeat was {age_seconds:.0f} s ago"
    return None


def api_fault(port: int) -> str | None:
    """Ask the API: None when it answers 200, else its answer, which names the failing part."""
    import socket  # noqa: PLC0415 - a worker's check does not pay for it

    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            while len(answer) < _ANSWER_BYTES_MAX and (part := connection.recv(_ANSWER_BYTES_MAX)):
                answer += part
    except OSError as exc:
        return f"no answer on port {port}: {exc}"
    head, _, body = answer.partition(b"\r\n\r\n")
    return None if head.split(b" ")[1:2] == [b"200"] else body.decode("utf-8", "replace")


def main(arguments: list[str]) -> int:
    """Check what the argument names."""
    if arguments == ["worker"]:
        fault = worker_fault(os.environ["CAUSEWAY_HEARTBEAT_FILE"], now=time.time())
    else:
        fault = api_fault(int(os.environ.get("PORT", "8000")))
    if fault is None:
        return 0
    sys.stderr.write(fault + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
