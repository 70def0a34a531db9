"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """Holds a folder for this process; the system lets go of it when the process ends, however it ends.

    Args:
        folder: Where a file named `lock` is left.
        busy: What to tell the user where another process holds it.

    Raises:
        ConfigError: Another process holds it.
        WriteError: The folder cannot be written to.
    """
    import fcntl

    from search_space.errors import ConfigError, WriteError

    try:
        handle = (folder / "lock").open("w")
    except OSError as error:
        raise WriteError(f"cannot write to {folder}: {error.strerror or error}; see to its rights") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(busy) from None
        yield
