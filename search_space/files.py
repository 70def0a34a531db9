"""Writing files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from search_space.errors import WriteError


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, like `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes `content` to a temporary file beside `path` and renames it, so that no half-written file is ever seen.

    Raises:
        WriteError: the system refuses; what was at `path` is still there, and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"cannot write {path}: {reason}; make room, or see to its folder") from None
    finally:
        temporary.unlink(missing_ok=True)
