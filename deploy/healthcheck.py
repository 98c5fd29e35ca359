# ruff: noqa: INP001 - a file that is run, not a package
"""Container health check of an API: exit 0 when ``/readyz`` answers 200, else say why and exit 1.

Run every few seconds in each container, so it imports nothing heavier than a socket (about 15 ms of CPU), and no curl is needed.
"""

import os
import socket
import sys

_TIMEOUT_SECONDS = 3.0
_ANSWER_BYTES_MAX = 4096


def main() -> int:
    """Ask the API on this container's ``PORT``."""
    port = int(os.environ.get("PORT", "8000"))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = _read(connection)
    except OSError as exc:
        sys.stderr.write(f"no answer on port {port}: {exc}\n")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    ready = head.split(b" ")[1:2] == [b"200"]
    if not ready:
        sys.stderr.write(body.decode("utf-8", "replace") + "\n")  # names the failing part
    return 0 if ready else 1


def _read(connection: socket.socket) -> bytes:
    answer = b""
    while len(answer) < _ANSWER_BYTES_MAX:
        part = connection.recv(_ANSWER_BYTES_MAX)
        if not part:
            break
        answer += part
    return answer


if __name__ == "__main__":
    sys.exit(main())
