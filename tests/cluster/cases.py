"""The cases: a cluster that works, a host that is unplugged, one that comes late, one whose disk is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.cluster.books import ClusterLine, Ended
from tests.cluster.hosts import ClusterHost, HostProcess
from tests.cluster.scenes import ClusterScene, start_head, start_postgres, start_worker

TRIALS = 8
LONG = 26
"""Trials of a search that goes on for longer than `LOST_AFTER`."""
LOST_AFTER = 75.0
"""Seconds after which the others have counted a worker without heartbeat as lost."""
WAIT = 240.0

Play = Callable[[ClusterScene], ClusterLine]


@dataclass(frozen=True, kw_only=True)
class ClusterCase:
    """One case of the bench."""

    name: str
    play: Play


CASES: dict[str, ClusterCase] = {}


def case(name: str) -> Callable[[Play], Play]:
    """Registers a case."""

    def add(play: Play) -> Play:
        CASES[name] = ClusterCase(name=name, play=play)
        return play

    return add


@dataclass(kw_only=True)
class Shared:
    """A search that hosts share by PostgreSQL: the server and the first worker on hosts of their own."""

    scene: ClusterScene
    url: str
    own_url: str
    """The URL for the bench."""
    alpha: ClusterHost
    beta: ClusterHost
    driver: HostProcess

    @classmethod
    def begin(cls, scene: ClusterScene, *, disk_mb: int = 512, trials: int = 2 * TRIALS) -> Shared:
        """Starts the server and the search, and awaits its first training."""
        base = scene.network.host("base")
        url, own_url = start_postgres(base, scene.shared / "postgres")
        alpha, beta = scene.network.host("alpha"), scene.network.host("beta", disk_mb=disk_mb)
        driver = scene.search(alpha, "--storage", url, trials=trials)
        scene.await_training("alpha", driver)
        return cls(scene=scene, url=url, own_url=own_url, alpha=alpha, beta=beta, driver=driver)

    def join(self, out: object = None) -> HostProcess:
        """Lets the other host join."""
        where = ("--name", "search", "--out", out or self.scene.shared / "beta")
        words = ("run", "--join", "--storage", self.url, *where)
        return self.scene.nas(self.beta, *words)

    def close(self, other: Ended) -> ClusterLine:
        """Waits for the first worker, and closes the books."""
        first = Ended(host="alpha", code=self.driver.wait(WAIT), text=self.driver.text)
        return self.scene.close([first, other], storage=self.own_url)


@case("PostgreSQL: all well")
def database_well(scene: ClusterScene) -> ClusterLine:
    """Two hosts share a study."""
    search = Shared.begin(scene)
    other = search.join()
    scene.await_training("beta", search.driver, other)
    search.driver.wait(WAIT)
    return search.close(Ended(host="beta", code=other.wait(), text=other.text))


@case("PostgreSQL: a host comes late")
def database_late(scene: ClusterScene) -> ClusterLine:
    """The second host joins when trials have ended."""
    search = Shared.begin(scene)
    scene.await_("two trials", lambda: len(scene.witness.ended) >= 2, search.driver)
    other = search.join()
    search.driver.wait(WAIT)
    line = search.close(Ended(host="beta", code=other.wait(), text=other.text))
    return line


@case("PostgreSQL: the disk of a host is full")
def database_disk(scene: ClusterScene) -> ClusterLine:
    """The disk with the run's folder of the second host is filled."""
    search = Shared.begin(scene, disk_mb=8, trials=LONG)
    other = search.join("/tmp/runs")
    scene.await_training("beta", search.driver, other)
    search.beta.fill_disk()
    code = other.wait(WAIT)
    return search.close(
        Ended(host="beta", code=code, text=other.text, codes=(2,), says=r"^nas: error: .*No space left.*next: ")
    )


@case("PostgreSQL: a host is unplugged")
def database_unplugged(scene: ClusterScene) -> ClusterLine:
    """The second host loses its link in a training until its worker has ended; then it resumes the worker's folder."""
    search = Shared.begin(scene, trials=LONG)
    other = search.join()
    scene.await_training("beta", search.driver, other)
    search.beta.unplug()
    says = r"^nas: error: the database of the study does not answer: .*next: .*nas run --resume"
    ended = Ended(host="beta", code=other.wait(WAIT), text=other.text, codes=(2,), says=says)
    line = search.close(ended)
    search.beta.plug_in()
    folder = next((scene.shared / "beta").iterdir())
    again = scene.nas(search.beta, "run", "--resume", folder)
    scene.require(again.wait(WAIT) == 0, f"beta: the folder is not resumed: {again.text[-300:]}")
    return replace(line, flaws=(*line.flaws, *scene.flaws))


@case("PostgreSQL: a worker hangs for 75 s")
def database_hangs(scene: ClusterScene) -> ClusterLine:
    """The processes of the second host are stopped and go on when the first has counted its worker as lost."""
    search = Shared.begin(scene, trials=LONG)
    other = search.join()
    scene.await_training("beta", search.driver, other)
    search.beta.stop()
    time.sleep(LOST_AFTER)
    search.beta.go_on()
    search.driver.wait(WAIT)
    return search.close(Ended(host="beta", code=other.wait(WAIT), text=other.text))


def _ray(scene: ClusterScene, *, late: bool = False, disk_mb: int = 512) -> tuple[str, ClusterHost, ClusterHost]:
    """Starts Ray on two hosts, or on the first of them."""
    alpha, beta = scene.network.host("alpha"), scene.network.host("beta", disk_mb=disk_mb)
    address = start_head(scene, alpha)
    if not late:
        start_worker(scene, beta, address)
    return address, alpha, beta


def _ended(scene: ClusterScene, driver: HostProcess, says: str = "") -> ClusterLine:
    return scene.close([Ended(host="alpha", code=driver.wait(WAIT), text=driver.text, says=says)])


@case("Ray: all well")
def ray_well(scene: ClusterScene) -> ClusterLine:
    """Two hosts train, one of them also searches."""
    address, alpha, _ = _ray(scene)
    driver = scene.search(alpha, "--executor", "ray", "--address", address, trials=TRIALS)
    driver.wait(WAIT)
    scene.require("beta" in scene.witness.ended.values(), "nothing was trained on beta")
    return _ended(scene, driver)


@case("Ray: a host comes late")
def ray_late(scene: ClusterScene) -> ClusterLine:
    """The second host starts when trials have ended."""
    address, alpha, beta = _ray(scene, late=True)
    driver = scene.search(alpha, "--executor", "ray", "--address", address, trials=2 * TRIALS)
    scene.await_("two trials", lambda: len(scene.witness.ended) >= 2, driver)
    start_worker(scene, beta, address)
    driver.wait(WAIT)
    scene.require("beta" in scene.witness.ended.values(), "nothing was trained on beta")
    return _ended(scene, driver)


@case("Ray: a host is unplugged")
def ray_unplugged(scene: ClusterScene) -> ClusterLine:
    """The second host loses its link in a training, and stays without."""
    address, alpha, beta = _ray(scene)
    driver = scene.search(alpha, "--executor", "ray", "--address", address, trials=TRIALS)
    scene.await_training("beta", driver)
    beta.unplug()
    return _ended(scene, driver, says=r"^trial +\d+ failed .*worker lost: ")


@case("Ray: the disk of a host is full")
def ray_disk(scene: ClusterScene) -> ClusterLine:
    """The disk with Ray's own files on the second host is filled in a training."""
    address, alpha, beta = _ray(scene, disk_mb=256)
    driver = scene.search(alpha, "--executor", "ray", "--address", address, trials=TRIALS)
    scene.await_training("beta", driver)
    beta.fill_disk()
    return _ended(scene, driver)
