# ruff: noqa: INP001 - a file that is run, not a package
"""Container health check: exit 0 when this container's process is well, else say why and exit 1.

Without an argument it asks the API's ``/readyz`` on ``PORT``. With ``worker``, which answers no port, it looks whether the first
process is past its start and would stop in order: from then on a worker that is unwell ends, and the restart policy starts it
again. Run over and over in each container, so it imports as little as it can, and it needs no curl.
"""

import os
import signal
import sys

_TIMEOUT_SECONDS = 3.0
_ANSWER_BYTES_MAX = 4096


def worker_fault(status: str) -> str | None:
    """Judge the text of ``/proc/<pid>/status``: None when the process runs and handles SIGTERM."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    state = fields["State"].strip()
    if state[0] in "TtZX":
        return f"the process does not run: {state}"
    handled = int(fields["SigCgt"], 16)
    if not handled >> (signal.SIGTERM - 1) & 1:
        return "the worker is still starting"
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
        fault = worker_fault(os.read(os.open("/proc/1/status", os.O_RDONLY), _ANSWER_BYTES_MAX).decode("ascii"))
    else:
        fault = api_fault(int(os.environ.get("PORT", "8000")))
    if fault is None:
        return 0
    sys.stderr.write(fault + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
