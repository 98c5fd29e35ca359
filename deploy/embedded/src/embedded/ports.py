"""Which TCP ports of this machine are free, chosen so that they stay usable over a restart."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_ATTEMPTS_MAX = 200
_FIRST_PORT = 15_000
_EPHEMERAL_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_START_DEFAULT = 32_768


class PortsExhaustedError(RuntimeError):
    """Every candidate port was in use."""


def is_free(port: int) -> bool:
    """Tell whether nothing listens on this port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run that linger in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(*, taken: frozenset[int] = frozenset()) -> int:
    """Find a port that is free now, not in `taken`, and below the range the system hands to outgoing connections.

    That range is avoided because a server that is killed and started again needs its port back. While it is
    down its clients keep dialling, and one of them may be given the very port it dials and then talk to itself.
    """
    first, last = _candidate_range()
    for _ in range(_ATTEMPTS_MAX):
        port = random.randint(first, last)  # noqa: S311 (a port is no secret)
        if port not in taken and is_free(port):
            return port
    raise PortsExhaustedError(f"no free TCP port between {first} and {last} after {_ATTEMPTS_MAX} attempts")


def _candidate_range() -> tuple[int, int]:
    try:
        ephemeral_start = int(_EPHEMERAL_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral_start = _EPHEMERAL_START_DEFAULT
    if ephemeral_start <= _FIRST_PORT + 1_000:
        return _FIRST_PORT, _EPHEMERAL_START_DEFAULT - 1
    return _FIRST_PORT, ephemeral_start - 1
