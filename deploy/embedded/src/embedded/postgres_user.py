"""Who PostgreSQL runs as: it refuses to run as root, so root hands it to an unprivileged system user.

The rest of the stack never asks: everybody else sees `EmbeddedPostgres`.
"""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from embedded.child_process import SystemUser

_USER_NAME = "embedded_postgres"
_FALLBACK_USER_NAME = "nobody"


def postgres_system_user() -> SystemUser | None:
    """Find or make the user to drop to; None when we are not root and PostgreSQL runs as ourselves."""
    if os.geteuid() != 0:
        return None
    entry = _find_user(_USER_NAME) or _create_user() or _find_user(_FALLBACK_USER_NAME)
    if entry is None:
        raise RuntimeError(
            f"PostgreSQL does not run as root, and the system user {_USER_NAME!r} could not be made; "
            "run as an ordinary user instead"
        )
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)


def open_way_to(path: Path) -> None:
    """Let other users pass through the folders above `path` (pass through only: they still cannot list them)."""
    for folder in path.resolve().parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_user() -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        return None
    # A parallel stack may make the same user at this moment: what counts is that it exists afterwards.
    command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", _USER_NAME]
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603 (fixed command, found on the system's path)
    return _find_user(_USER_NAME)
