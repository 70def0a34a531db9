"""Locks that keep a folder to one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search_space.errors import ConfigError, WriteError


@contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """Locks a folder for this process; the system releases the lock when the process ends in any way.

    Args:
        folder: Folder to lock; a file named `lock` stays in it.
        busy: Message if another process holds the lock.

    Raises:
        ConfigError: Another process holds the lock.
        WriteError: The folder is not writable.
    """
    import fcntl

    try:
        handle = (folder / "lock").open("w")
    except OSError as error:
        raise WriteError(f"cannot write to {folder}: {error.strerror or error}; fix its permissions") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(busy) from None
        yield
