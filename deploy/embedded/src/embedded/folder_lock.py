"""One owner at a time for a data folder; the system lets go of the lock when its owner dies, however it dies."""

import fcntl
import os
from pathlib import Path


class FolderInUseError(RuntimeError):
    """Another running process owns the folder."""


class FolderLock:
    """Held from creation until `release()`. Raises FolderInUseError, naming the owner's process id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owner.lock"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._file, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise FolderInUseError(f"{folder} is in use by process {owner}") from error
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the folder up; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
