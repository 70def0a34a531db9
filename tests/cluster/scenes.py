"""What the cases share: a network of hosts, a shared folder, Ray or PostgreSQL on it, and searches."""

from __future__ import annotations

import os
import resource
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nas.config import read_config
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy
from nas.engine.storage import database_storage, journal_storage
from search_space import SearchSpace
from tests.cluster.books import ClusterLine, Ended, Witness, close_books
from tests.cluster.hosts import ClusterHost, HostProcess, Network
from tests.faults.bench import DATA, SPACE, TRAINING
from tests.nas.postgres_server import find

ROOT = Path(__file__).parents[2]
RAY_PORT, DATABASE_PORT = 6379, 5432
STORE_BYTES = 80_000_000
"""The smallest object store that Ray takes."""
POSTGRES_USER = "nobody"


@dataclass(kw_only=True)
class ClusterScene:
    """One case under way."""

    name: str
    network: Network
    shared: Path
    """A folder that all hosts have under the same path."""
    seconds: float
    """Time that a training takes."""
    began: float = field(default_factory=time.monotonic)
    cpu_before: float = field(default_factory=lambda: _cpu_of_children())
    flaws: list[str] = field(default_factory=list)

    @property
    def witness(self) -> Witness:
        """What the trainings wrote down so far."""
        return Witness.read(self.shared / "witness")

    def nas(self, host: ClusterHost, *words: object) -> HostProcess:
        """Starts `nas WORDS` on a host."""
        stub = (sys.executable, "-m", "tests.cluster.nas_with_stub", self.seconds, self.shared / "witness")
        return host.start(*stub, *words, **self.environment, NO_COLOR="1", COLUMNS="200")

    @property
    def environment(self) -> dict[str, str]:
        """Of all commands: the checkout, and a home with the token that Ray's processes need to talk to each other."""
        token = self.shared / "home" / ".ray" / "auth_token"
        if not token.is_file():
            token.parent.mkdir(parents=True)
            token.write_text(secrets.token_hex(32))
        return {
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.shared / "home"),
            "RAY_AUTH_MODE": "token",
            "RAY_worker_niceness": "0",
        }

    def search(self, host: ClusterHost, *words: object, trials: int) -> HostProcess:
        """Starts a search."""
        where = ("--data", DATA, "--name", "search", "--out", self.shared, "--trials", trials)
        return self.nas(host, "run", *SPACE, *TRAINING, *where, *words)

    def await_(self, what: str, come: Callable[[], bool], *processes: HostProcess, seconds: float = 240.0) -> None:
        """Waits until something has come; raises RuntimeError if it does not, or a process ends before."""
        deadline = time.monotonic() + seconds
        while not come():
            ended = [process for process in processes if process.popen.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{what}: never came; {' / '.join(each.text[-1500:] for each in ended or processes)}"
                )
            time.sleep(0.1)

    def await_training(self, host: str, *processes: HostProcess, number: int = 1) -> None:
        """Waits until a training is under way on a host, after `number - 1` others there."""
        self.await_(
            f"training {number} on {host}",
            lambda: list(self.witness.begun.values()).count(host) >= number and bool(self.witness.in_flight(host)),
            *processes,
        )

    def require(self, holds: bool, flaw: str) -> None:
        """Notes a flaw if something does not hold."""
        if not holds:
            self.flaws.append(flaw)

    def close(self, commands: list[Ended], storage: str | None = None) -> ClusterLine:
        """Closes the books."""
        study = self._study(storage)
        return close_books(
            self.name,
            self.witness,
            study.trials(),
            study.running(),
            commands,
            flaws=self.flaws,
            seconds=time.monotonic() - self.began,
            cpu_seconds=self.network.cpu_seconds() + _cpu_of_children() - self.cpu_before,
        )

    def _study(self, storage: str | None) -> SearchStudy:
        run = self.shared / "search"
        config = read_config(run / "config.yaml")
        space, wanted = SearchSpace().narrowed(narrowing_of(config)), objectives(config.objective)
        if storage is None:
            return SearchStudy(journal_storage(run / "study.journal"), space, wanted, num_rungs=len(config.rungs))
        return SearchStudy(database_storage(storage), space, wanted, name=config.name, num_rungs=len(config.rungs))


def _cpu_of_children() -> float:
    """Returns the CPU time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start_head(scene: ClusterScene, host: ClusterHost) -> str:
    """Starts the head of a Ray cluster with one CPU; returns the cluster's address."""
    _start_ray(scene, host, "--head", f"--port={RAY_PORT}", "--include-dashboard=false")
    return f"{host.address}:{RAY_PORT}"


def start_worker(scene: ClusterScene, host: ClusterHost, address: str) -> None:
    """Starts a worker of a Ray cluster with one CPU."""
    _start_ray(scene, host, f"--address={address}")


def _start_ray(scene: ClusterScene, host: ClusterHost, *words: str) -> None:
    own = (f"--node-ip-address={host.address}", "--num-cpus=1", f"--object-store-memory={STORE_BYTES}")
    ray = Path(sys.executable).parent / "ray"
    host.run(ray, "start", *words, *own, "--disable-usage-stats", **scene.environment)


def start_postgres(host: ClusterHost, folder: Path) -> tuple[str, str]:
    """Starts a PostgreSQL server on a host; returns the database's URL for the hosts, and for this process."""
    data = folder / "data"
    folder.mkdir()
    os.chown(folder, *_ids(POSTGRES_USER))
    host.run(find("initdb"), "-D", data, "-U", "nas", "--auth=trust", "--no-sync", "-E", "UTF8", user=POSTGRES_USER)
    (data / "pg_hba.conf").write_text("local all all trust\nhost all all 10.77.0.0/24 trust\n")
    options = f"-p {DATABASE_PORT} -c listen_addresses={host.address} -c unix_socket_directories={folder} -c fsync=off"
    host.run(
        find("pg_ctl"), "-D", data, "-w", "-l", folder / "log", "-o", options, "start", user=POSTGRES_USER, LC_ALL="C"
    )
    host.run(find("createdb"), "-h", folder, "-p", DATABASE_PORT, "-U", "nas", "search", user=POSTGRES_USER)
    return (
        f"postgresql://nas@{host.address}:{DATABASE_PORT}/search",
        f"postgresql://nas@/search?host={folder}&port={DATABASE_PORT}",
    )


def _ids(user: str) -> tuple[int, int]:
    import pwd

    found = pwd.getpwnam(user)
    return found.pw_uid, found.pw_gid
