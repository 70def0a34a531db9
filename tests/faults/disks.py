"""Disks that are full or refuse to be written: real ones where they may be mounted, and writes that fail."""

from __future__ import annotations

import builtins
import errno
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


@cache
def may_mount() -> bool:
    """Whether this process may mount a disk in memory."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@contextmanager
def small_disk(at: Path, kib: int) -> Iterator[Path]:
    """Gives a real disk of so many KiB."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "faults", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def set_disk(at: Path, options: str) -> None:
    """Changes a real disk: `ro`, `rw`, `size=64k`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(at)], check=True)


def fill(folder: Path, *, leaving: int = 0) -> Path:
    """Fills the disk of a folder up to so many bytes; returns the file that does."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leaving))
    return path


class _Refusing(io.FileIO):
    """A file that takes so many bytes and no more."""

    def __init__(self, path: Any, mode: str, room: int, number: int) -> None:
        super().__init__(path, mode)
        self._room, self._number = room, number

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        if self._room <= 0:
            raise OSError(self._number, os.strerror(self._number), str(self.name))
        taken = super().write(view[: self._room])
        self._room -= taken
        return taken


def refuse(ending: str, *, after: int = 0, room: int = 0, number: int = errno.ENOSPC) -> None:
    """Lets writes to files whose names hold `ending` fail, from the one after `after` on; for a child."""
    real, seen = builtins.open, iter(range(10**9))

    def opened(path: Any, mode: str = "r", buffering: int = -1, *given: Any, **named: Any) -> Any:
        writes = any(each in mode for each in "wax+") and not isinstance(path, int)
        if not writes or ending not in os.path.basename(os.fspath(path)) or next(seen) < after:
            return real(path, mode, buffering, *given, **named)
        raw = _Refusing(path, mode.replace("b", "").replace("t", ""), room, number)
        if buffering == 0:
            return raw
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8", newline="")

    builtins.open = opened  # type: ignore[assignment]
    io.open = opened  # type: ignore[assignment]
    import pathlib

    pathlib.Path.open = lambda self, mode="r", buffering=-1, *given, **named: opened(  # type: ignore[assignment]
        self, mode, buffering, *given, **named
    )
