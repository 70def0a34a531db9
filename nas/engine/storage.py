"""The storage of a study: a journal file in the folder of the run, or a database that several workers share."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from nas.engine.journal import LightJournal, repair_journal
from nas.engine.search_study import SearchStudy
from nas.process_control import is_running
from search_space.errors import ConfigError

SCHEMES = ("postgresql", "postgresql+psycopg")
BEAT_SECONDS = 10.0
"""How often a worker on a shared storage writes its heartbeat."""
GRACE_SECONDS = 60.0
"""After this time without a heartbeat a worker counts as lost."""
LINK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Parameters of libpq: a connection over a link that is down ends in half a minute instead of a quarter of an hour."""
FREED_AFTER = "SET idle_in_transaction_session_timeout = '60s'"
"""Lets the server drop the transaction, and the locks, of a worker whose host was unplugged in it."""


def journal_storage(path: Path) -> BaseStorage:
    """Opens the journal file of a run, which only one process may write, and removes what a kill left behind.

    Raises:
        ConfigError: The file is not a journal.
    """
    path = path.resolve()  # the lock beside the journal is a link to this path and breaks if it is relative
    repair_journal(path)
    return JournalStorage(LightJournal(str(path)))


def database_storage(url: str) -> BaseStorage:
    """Opens a PostgreSQL database, in which Optuna makes its tables where there are none.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; missing parts are taken from the environment, as by
            libpq (`PGPASSWORD`, `PGPASSFILE`).

    Raises:
        ConfigError: The URL is not one of PostgreSQL, the driver is not installed, or the server does not answer.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ConfigError(
            f"--storage takes a PostgreSQL URL, got {hide_password(url)!r}; next: --storage "
            "postgresql://USER@HOST/DATABASE, or omit it for a journal file in the run's folder"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ConfigError("--storage needs the PostgreSQL driver; next: pip install 'pyramidnas[postgres]'") from None
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage = RDBStorage(
            url.replace(f"{scheme}://", "postgresql+psycopg://", 1),
            engine_kwargs={"pool_pre_ping": True, "connect_args": LINK},
        )
    except SQLAlchemyError as error:
        raise ConfigError(
            f"the database {hide_password(url)} does not answer: {_reason(error)}; next: check that the server runs, "
            "and user, host and PGPASSWORD"
        ) from None
    _free_locks(storage)
    return storage


def _free_locks(storage: RDBStorage) -> None:
    """Sets `FREED_AFTER` in each connection from now on."""

    from sqlalchemy import event

    def connected(connection: Any, _: Any) -> None:
        connection.execute(FREED_AFTER)
        connection.commit()

    event.listen(storage.engine, "connect", connected)
    storage.engine.dispose()


def _reason(error: BaseException) -> str:
    """Returns the first line of what the driver says."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


@contextmanager
def database_errors(next_step: str) -> Iterator[None]:
    """Turns errors of a database that no longer answers into one line.

    Raises:
        ConfigError: The database did not answer.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise ConfigError(
            f"the database of the study does not answer: {_reason(error.__cause__ or error)}; all trials that have "
            f"ended are in it; next: check the server and the network, then {next_step}"
        ) from error


def hide_password(url: str) -> str:
    """Returns a URL without its password."""
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@", 1)


def worker_name() -> str:
    """Returns a unique name for this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_gone(worker: str) -> bool:
    """Whether a worker was a process of this host that has ended."""
    host, _, rest = worker.partition(":")
    pid = rest.partition(":")[0]
    return host == socket.gethostname() and pid.isdigit() and not is_running(int(pid))


class Heartbeats:
    """Watches the heartbeats of all workers of a study: one without a heartbeat for `GRACE_SECONDS` is lost.

    Heartbeats are counters, timed by the clock of this host, so the clocks of the hosts may differ.
    """

    def __init__(
        self, study: SearchStudy, *, grace_seconds: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._study, self._grace, self._clock = study, grace_seconds, clock
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self) -> None:
        """Reads the heartbeats of the workers with trials under way."""
        notes, now = self._study.notes, self._clock()
        for worker in {trial.worker for trial in self._study.running()}:
            beat = notes.get(heartbeat_name(worker))
            if worker not in self._seen or self._seen[worker][0] != beat:
                self._seen[worker] = (beat, now)

    def is_lost(self, worker: str) -> bool:
        """Whether a worker is lost, as far as is known by now."""
        if worker == self._study.worker:
            return False
        seen = self._seen.get(worker)
        return is_gone(worker) or (seen is not None and self._clock() - seen[1] > self._grace)


def heartbeat_name(worker: str) -> str:
    """Returns the name of the study's note with the heartbeat of a worker."""
    return f"heartbeat {worker}"


@contextmanager
def heartbeat(study: SearchStudy, *, every_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Writes the heartbeat of this worker every few seconds; after a failure it tries again the next time.

    At the end, the trials that an error left open are ended, so that others need not wait for `GRACE_SECONDS`.
    """
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while True:
            try:
                study.note(heartbeat_name(study.worker), count)
            except Exception:  # the search meets an error of the database itself
                pass
            count += 1
            if ended.wait(every_seconds):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
        with suppress(Exception):  # without a connection, the others find out by themselves
            study.settle(lambda worker: worker == study.worker)
