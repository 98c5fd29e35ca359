"""Turn into another program that ends when its parent ends: a script that `child_process.spawn` runs.

It sets the parent-death signal and drops the user *inside* the new process, then replaces itself: the process id
stays the same, and the parent needs no code between fork and exec, which threads make unsafe. Only the standard
library is imported, because the script runs with `python -I -S`.

Usage: launcher.py <parent pid> <death signal> <uid or -1> <gid or -1> <program> [argument ...]
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_ARGUMENTS_BEFORE_PROGRAM = 5


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, uid, gid = (int(argument) for argument in arguments[1:_ARGUMENTS_BEFORE_PROGRAM])
    command = arguments[_ARGUMENTS_BEFORE_PROGRAM:]
    if uid >= 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which clears the setting.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before this process was ready")
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted: the command is a list made by spawn)


if __name__ == "__main__":
    main(sys.argv)
