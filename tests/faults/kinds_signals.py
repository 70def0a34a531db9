"""Processes that are killed, told to end, or hang; two that want the same folder; clocks that jump."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from benchmarks.run_audit import ended_trials, printed_outcomes
from tests.faults.bench import HEIRS, Outcome, Scene, fault, heard
from tests.faults.child import Child
from tests.faults.evaluators import quick

RESUME = r"to resume: nas run --resume"


def below(pid: int) -> list[int]:
    """Returns the worker processes of a driver."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int(path.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
                command = path.joinpath("cmdline").read_bytes()
            except OSError:
                continue
            if parent == pid and b"spawn_main" in command:
                found.append(int(path.name))
    return sorted(found)


def kill_driver(scene: Scene, words: tuple[str, ...] = ()) -> Outcome:
    """Kills a search and goes on with it."""
    real = scene.index % 3 == 0
    child = scene.search(*words, spoil=(lambda: None) if real else quick)
    child.await_text("folder:")
    scene.pause(0.0, 2.5)
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    return scene.close_books(child, RESUME, before=ended_trials(scene.run))


fault("kill -9 of the driver", seconds=3)(kill_driver)
fault("kill -9 with donors", seconds=3)(partial(kill_driver, words=HEIRS))


def kill_workers(scene: Scene, words: tuple[str, ...] = ()) -> list[Outcome]:
    """All injections of one call are into one search."""
    child = scene.search("--workers", 2, *words, spoil=lambda: quick(seconds=0.5))
    child.await_text("trial ")
    kills = 0
    while kills < 5:
        scene.pause(0.5, 3.0)
        workers = below(child.pid)
        if workers:
            os.kill(scene.rng.choice(workers), signal.SIGKILL)
            kills += 1
    scene.pause(0.5, 2.0)
    child.send(signal.SIGINT)
    assert child.wait() == 130, child.text[-500:]
    outcome = scene.close_books(child, r"worker lost: killed by signal 9|interrupted", before=ended_trials(scene.run))
    return [outcome, *[Outcome(message=outcome.message, said=outcome.said)] * (kills - 1)]


fault("kill -9 of a worker, 2 workers", seconds=6)(kill_workers)
fault("kill -9 of a worker, 2 workers, donors", seconds=6)(partial(kill_workers, words=HEIRS))


def _ended_by(scene: Scene, number: int, code: int, *, twice: bool) -> Outcome:
    child = scene.search(spoil=(lambda: None) if scene.index % 3 == 0 else quick)
    child.await_text("folder:")
    scene.pause(0.1, 2.0)
    child.send(number)
    if twice:
        scene.pause(0.0, 0.2)
        child.send(number)
    began = time.monotonic()
    got = child.wait()
    late = time.monotonic() - began > 10
    outcome = scene.close_books(child, r"nas: interrupted", before=ended_trials(scene.run))
    return Outcome(
        lost=outcome.lost + (got != code) + late,
        doubled=outcome.doubled,
        message=outcome.message if got == code else f"exit code {got}: {outcome.message}",
        said=outcome.said,
    )


fault("SIGTERM")(partial(_ended_by, number=signal.SIGTERM, code=143, twice=False))
fault("SIGTERM twice")(partial(_ended_by, number=signal.SIGTERM, code=143, twice=True))
fault("Ctrl-C")(partial(_ended_by, number=signal.SIGINT, code=130, twice=False))
fault("Ctrl-C twice")(partial(_ended_by, number=signal.SIGINT, code=130, twice=True))


@fault("trial that hangs, with a limit", seconds=15, share=0.5)
def hang(scene: Scene) -> Outcome:
    what = ("sleeps", "hangs in C", "is stopped")[scene.index % 3]
    limit = ("--trial-minutes", 0.15)
    child = scene.search(*limit, trials=4, spoil=lambda: quick(faulty=1, what=what))
    assert child.wait() == 0, child.text[-500:]
    return scene.close_books(child, r"time limit of 0.15 minutes \(--trial-minutes\)", before=ended_trials(scene.run))


@fault("trial that hangs, Ctrl-C", seconds=10, share=0.5)
def hang_interrupted(scene: Scene) -> Outcome:
    what = ("sleeps", "hangs in C", "is stopped")[scene.index % 3]
    child = scene.search("--workers", 2, spoil=lambda: quick(faulty=3, what=what))
    child.await_text("trial   2")
    scene.pause(0.5, 1.5)
    child.send(signal.SIGINT)
    began = time.monotonic()
    late = child.wait() != 130 or time.monotonic() - began > 8
    outcome = scene.close_books(child, r"nas: interrupted; resume with", before=ended_trials(scene.run))
    return Outcome(lost=outcome.lost + late, doubled=outcome.doubled, message=outcome.message, said=outcome.said)


@fault("two drivers on one folder", seconds=3)
def two_drivers(scene: Scene) -> Outcome:
    first = scene.search()
    first.await_text("trial   0")
    scene.pause(0.0, 0.5)
    second = scene.resume()
    code = second.wait()
    message, said = heard(second.text, (r"nas: error: another process is searching in .*wait for it",), scene.run)
    first.send(signal.SIGINT)
    assert first.wait() == 130
    outcome = scene.close_books(first, "interrupted", before=ended_trials(scene.run))
    lost = outcome.lost + (code != 2) + bool(printed_outcomes(second.text))
    return Outcome(lost=lost, doubled=outcome.doubled, message=message, said=said)


def jump_clocks(seed: int) -> None:
    """Lets every clock of this process go back and forth by up to three hours."""
    from nas.data_state import DataWatch
    from nas.engine.loop import Search
    from nas.executors.attempt import attempt
    from nas.executors.local import LocalExecutor
    from nas.executors.processes import ProcessExecutor

    rng = random.Random(seed)

    def jumping(clock):  # type: ignore[no-untyped-def]
        return lambda: clock() + rng.choice((0.0, 0.0, rng.uniform(-3, 3) * 3600))

    time.time, time.monotonic = jumping(time.time), jumping(time.monotonic)
    for holder in (DataWatch.__init__, attempt, LocalExecutor.__init__, ProcessExecutor.__init__, Search.__init__):
        holder.__kwdefaults__["clock"] = time.monotonic  # type: ignore[index]


def _both(scene: Scene) -> None:
    quick()
    jump_clocks(scene.index)


@fault("clocks that jump by hours")
def clocks(scene: Scene) -> Outcome:
    child: Child = scene.search(trials=4, spoil=lambda: _both(scene))
    code = child.wait()
    trials = ended_trials(scene.run)
    negative = [trial.number for trial in trials.values() if (trial.seconds or 0) < 0]
    outcome = scene.close_books(child, r"^trials: 4 = ", before=trials)
    return Outcome(
        lost=outcome.lost + (code != 0) + len(negative),
        doubled=outcome.doubled,
        message=outcome.message,
        said=outcome.said,
    )
