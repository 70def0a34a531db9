"""The journal file of a study: few forced writes, a checksum on every line, repair after a kill."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import zlib
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search_space.errors import ConfigError, WriteError
from search_space.files import write_bytes

logger = logging.getLogger(__name__)

SEAL = re.compile(rb',"seal":(\d+)\}\n\Z')
DAMAGED = ".damaged"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Where a journal was changed."""

    line: int
    """The first line that is wrong, from 1."""
    kept: Path
    """A copy of the file as it was found."""


class LightJournal(JournalFileBackend):
    """Optuna's journal file, forced to disk when a trial changes its state, not at each of its parameters.

    A write that is not forced survives the end of the process, however it ends; a power cut can lose it, but then the
    trial is not finished. Each line ends with a checksum over itself and all lines before it, the seal, so that a line
    that was changed, removed or moved is detected. The system releases the lock of a process that ends.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = self._seal = 0
        try:
            super().__init__(path, lock_obj=JournalFileOpenLock(path))
        except OSError as error:
            raise self._refused(error) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends lines; the class says when they are forced to disk.

        Raises:
            WriteError: The file cannot be written; it is unchanged.
        """
        bodies = [json.dumps(log, separators=(",", ":")).encode() for log in logs]
        try:
            with open(self._path, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._append(file, bodies, forced=any("state" in log for log in logs))
        except OSError as error:
            raise self._refused(error) from None

    def _append(self, file: FileIO, bodies: list[bytes], *, forced: bool) -> None:
        size = file.seek(0, os.SEEK_END)
        if size != self._size:  # another process has written, or nothing was read yet
            self._seal, _ = _verify(Path(self._path).read_bytes())
        lines, seal = b"", self._seal
        for body in bodies:
            seal = zlib.crc32(body, seal)
            lines += body[:-1] + f',"seal":{seal}}}\n'.encode()
        try:
            if file.write(lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # on a full disk a part may be written
            if forced:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(size)
            raise
        self._size, self._seal = size + len(lines), seal

    def _refused(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self._path}: {error.strerror or error}; free disk space, or fix the folder's permissions"
        )


def repair_journal(path: Path, *, may_cut: bool = False) -> Damage | None:
    """Removes what a kill during a write leaves behind: a stale lock and an incomplete last line.

    Args:
        path: Of the journal.
        may_cut: Whether a damaged file is truncated before the first line whose seal is wrong; a copy is kept.

    Returns:
        Where the file was damaged; None if it was not.

    Raises:
        ConfigError: The file is damaged and may not be truncated, or is not a journal.
    """
    lock = path.with_name(path.name + ".lock")
    if lock.is_symlink():
        lock.unlink()
    if not path.is_file():
        return None
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and content:
        raise ConfigError(f"{path} is not the journal of a study; next: start another run with --name")
    _, good = _verify(whole)
    sound = sum(map(len, whole.splitlines(keepends=True)[:good]))
    if sound < len(whole):
        if not may_cut:
            raise ConfigError(
                f"{path} is damaged at line {good + 1}: the line was changed or lines before it are gone; next: put a "
                f"copy of the file in its place, or nas run --resume {path.parent} with its trials.csv whole"
            )
        kept = _spare(path)
        write_bytes(kept, content)
        os.truncate(path, sound)
        return Damage(line=good + 1, kept=kept)
    if len(whole) < len(content):
        logger.info("dropped %d bytes of an unfinished write from %s", len(content) - len(whole), path)
        os.truncate(path, len(whole))
    return None


def _verify(content: bytes) -> tuple[int, int]:
    """Returns the seal of the last good line, and how many lines from the first on are good.

    Lines without a seal, as of older versions, are good if they are JSON and no sealed line precedes them.
    """
    seal, sealed = 0, False
    lines = content.split(b"\n")[:-1]
    for number, line in enumerate(lines):
        found = SEAL.search(line + b"\n")
        body = line if found is None else line[: found.start()] + b"}"
        wrong = int(found[1]) != zlib.crc32(body, seal) if found else sealed or not _is_object(body)
        if wrong:
            return seal, number
        seal, sealed = zlib.crc32(body, seal), found is not None
    return seal, len(lines)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # also of the encoding
        return False


def _spare(path: Path) -> Path:
    """Returns a free name for the copy of a damaged file."""
    names = (path.with_name(f"{path.name}{DAMAGED}{number or ''}") for number in range(1000))
    return next(name for name in names if not name.exists())
