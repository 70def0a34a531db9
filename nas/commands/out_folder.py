"""The folders that commands write to: made and tried before the work, so that no result is lost at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folder(path: Path, option: str) -> None:
    """Makes a folder, if it is not there, and tries whether files can be written to it.

    Args:
        option: how the user gave it, such as `--out`.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    import tempfile

    from search_space.errors import ConfigError

    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigError(
            f"cannot write to the folder {path} of {option}: {error.strerror or error}; give another {option}"
        ) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder of a training for this process; the system lets go of it when the process ends, however it ends.

    Raises:
        ConfigError: another process holds it.
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
            raise ConfigError(f"another process trains in {folder}; wait for it, or choose another --out") from None
        yield
