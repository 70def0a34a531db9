"""Atomic file writes, and bounded reads of untrusted files."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

from search_space.errors import WriteError


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, like `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes `content` to a temporary file beside `path` and renames it, so that readers never see a partial file.

    Raises:
        WriteError: The system refuses. The former file stays, and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        cure = "free disk space, or fix the folder's permissions"
        if isinstance(error, FileNotFoundError):
            cure = "create the folder, or correct the path"
        raise WriteError(f"cannot write {path}: {error.strerror or error}; {cure}") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Returns the content of a file of bounded size.

    Raises:
        OSError: The file cannot be read, or its name is invalid.
        OverflowError: It is larger than `max_bytes`.
    """
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OverflowError(f"it is larger than {max_bytes:,} bytes")
    return content


def unpacked(content: bytes, max_bytes: int) -> bytes:
    """Returns the content of gzip data, all members concatenated.

    Raises:
        ValueError: The data is damaged or cut off.
        OverflowError: It unpacks to more than `max_bytes`. Compression ratios of 1000 are possible.
    """
    whole = b""
    while content:
        stream = zlib.decompressobj(wbits=31)
        try:
            whole += stream.decompress(content, max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise ValueError(f"it cannot be unpacked: {error}") from None
        if len(whole) > max_bytes:
            raise OverflowError(f"it unpacks to more than {max_bytes:,} bytes")
        if not stream.eof:
            raise ValueError("it is cut off")
        content = stream.unused_data.lstrip(b"\0")
    return whole
