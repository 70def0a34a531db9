"""The journal file of a study: written lightly, healed after a kill."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from search_space.errors import ConfigError

logger = logging.getLogger(__name__)


class LightJournal(JournalFileBackend):
    """Optuna's journal file, forced to disk where a trial changes its state and not at each of its parameters.

    A write that was not forced survives the end of the process, however it ends; only a power cut can lose it, and
    then only with the whole trial in flight.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._own_lock = JournalFileSymlinkLock(path)
        super().__init__(path, lock_obj=self._own_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends lines; see the class for when they are forced to disk."""
        if any("state" in log for log in logs):
            super().append_logs(logs)
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own_lock.acquire()
        try:
            with open(self._path, "ab") as file:
                file.write(lines.encode("utf-8"))
        finally:
            self._own_lock.release()


def heal(path: Path) -> None:
    """Removes what a kill in the middle of a write leaves: a lock nobody holds and half a line at the end.

    Raises:
        ConfigError: where the file is no journal.
    """
    lock = path.with_name(path.name + ".lock")
    if lock.is_symlink():
        lock.unlink()
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        logger.info("dropped %d bytes of an unfinished write from %s", len(content) - len(whole), path)
        os.truncate(path, len(whole))
    if not whole and content:
        raise ConfigError(f"{path} is not the journal of a study; next: start another run with --name")
