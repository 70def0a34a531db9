"""Output folders, which are created and checked before the work, so that its results can be written."""

from __future__ import annotations

from pathlib import Path

from search_space.errors import ConfigError


def make_folder(path: Path, option: str) -> None:
    """Makes a folder, if it does not exist, and checks that files can be written to it.

    Args:
        option: how the user gave it, such as `--out`.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    import tempfile

    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigError(
            f"cannot write to the folder {path} of {option}: {error.strerror or error}; give another {option}"
        ) from None
