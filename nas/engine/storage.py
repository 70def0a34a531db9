"""Where the study of a run lies: a journal file in its folder, or a database that workers on many hosts share."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from nas.engine.journal import LightJournal, heal
from nas.engine.search_study import SearchStudy
from nas.process_control import is_running
from search_space.errors import ConfigError

SCHEMES = ("postgresql", "postgresql+psycopg")
BEAT_SECONDS = 10.0
"""How often a worker on a shared storage says that it is alive."""
GRACE_SECONDS = 60.0
"""How long it may be silent before the others take it for lost."""


def journal_storage(path: Path) -> BaseStorage:
    """Opens the journal file of a run, which one process writes at a time, and heals what a kill left behind.

    Raises:
        ConfigError: If the file is no journal.
    """
    path = path.resolve()  # the lock beside the journal is a link to this path and breaks if it is relative
    heal(path)
    return JournalStorage(LightJournal(str(path)))


def database_storage(url: str) -> BaseStorage:
    """Opens a PostgreSQL database, in which Optuna makes its tables where there are none.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; what is missing is taken from the environment, as libpq
            does (`PGPASSWORD`, `PGPASSFILE`).

    Raises:
        ConfigError: If the URL is none of PostgreSQL, the driver is not installed, or the server does not answer.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ConfigError(
            f"--storage takes a PostgreSQL URL, got {hide_password(url)!r}; next: --storage "
            "postgresql://USER@HOST/DATABASE, or leave it out for a journal file in the run's folder"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ConfigError("--storage needs the PostgreSQL driver; next: pip install 'pyramidnas[postgres]'") from None
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(
            url.replace(f"{scheme}://", "postgresql+psycopg://", 1),
            engine_kwargs={"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}},
        )
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ConfigError(
            f"the database {hide_password(url)} does not answer: {reason}; next: see whether the server runs, and "
            "to user, host and PGPASSWORD"
        ) from None


def hide_password(url: str) -> str:
    """Returns a URL as it may be shown."""
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@", 1)


def worker_name() -> str:
    """Returns a name for this process that no other has had."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_gone(worker: str) -> bool:
    """Whether a worker was a process of this host that is no more."""
    host, _, rest = worker.partition(":")
    pid = rest.partition(":")[0]
    return host == socket.gethostname() and pid.isdigit() and not is_running(int(pid))


class Pulses:
    """Watches the pulses of all workers of a study: who has been silent for `GRACE_SECONDS` is lost.

    Only changes count and only by the own clock, so that hosts may disagree on the time.
    """

    def __init__(
        self, study: SearchStudy, *, grace_seconds: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._study, self._grace, self._clock = study, grace_seconds, clock
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self) -> None:
        """Reads the pulses of the workers that have trials under way."""
        notes, now = self._study.notes, self._clock()
        for row in self._study.running():
            worker, pulse = str(row.get("worker", "")), notes.get(pulse_name(str(row.get("worker", ""))))
            if worker not in self._seen or self._seen[worker][0] != pulse:
                self._seen[worker] = (pulse, now)

    def is_lost(self, worker: str) -> bool:
        """Whether a worker is no more, as far as can be known by now."""
        if worker == self._study.worker:
            return False
        seen = self._seen.get(worker)
        return is_gone(worker) or (seen is not None and self._clock() - seen[1] > self._grace)


def pulse_name(worker: str) -> str:
    """Returns the name of the study's note that a worker's pulse is."""
    return f"pulse {worker}"


@contextmanager
def pulsing(study: SearchStudy, *, every_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Says every few seconds that this worker is alive; a failure to say so is left to the next time."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while True:
            try:
                study.note(pulse_name(study.worker), count)
            except Exception:  # whatever is wrong with the database, the search meets it itself
                pass
            count += 1
            if ended.wait(every_seconds):
                return

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
