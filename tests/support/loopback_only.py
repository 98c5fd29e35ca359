"""No test reaches beyond this machine: a plugin of pytest that looks at each connection and datagram of the process.

It stands where Python hands an address to the system, below every library, and cannot be taken away again. What it refuses fails
the test in which it happened, also where the code under test took the refusal for one more broken network.
"""

import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOCAL_NAMES = frozenset({"localhost", ""})

refused: list[str] = []


class LeavesTheMachineError(OSError):
    """Something would have been sent to another machine."""


def is_here(address: object) -> bool:
    """Tell whether a socket address is of this machine: a path, a loopback address, or the unspecified one."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0]).partition("%")[0]
    if host in _LOCAL_NAMES:
        return True
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SENDING and len(arguments) > 1 and not is_here(arguments[1]):
        refused.append(f"{event} {arguments[1]} in {os.environ.get('PYTEST_CURRENT_TEST', 'no test')}")
        raise LeavesTheMachineError(f"a test would have reached {arguments[1]}")


sys.addaudithook(_judge)


@pytest.fixture(autouse=True)
def _nothing_leaves_this_machine() -> Iterator[None]:
    refused.clear()
    yield
    assert not refused, refused
