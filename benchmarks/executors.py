"""Measures the overhead of executors per trial, and the speed-up of two workers.

`nothing` evaluates nothing: the wall time of a trial is overhead. `busy` computes a fixed number of rounds in one
thread, `--seconds` on an idle core. Workers have started and evaluated once before the measurement. With other load, or
fewer free cores than workers, the machine limits the speed-up.

Usage: python benchmarks/executors.py [--trials 40] [--busy-trials 4] [--seconds 2] > benchmarks/results/executors.txt
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

from nas.executors import Evaluation, Executor, Job, Report, Step
from nas.executors.local import LocalExecutor
from nas.executors.processes import ProcessExecutor
from search_space import DESIGNS

ARCHITECTURE = DESIGNS.get("yolov8n").architecture
ROUNDS_PER_CHECK = 100_000


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Makes an evaluator that computes `seed` checks of `ROUNDS_PER_CHECK` rounds."""

    def make(self, worker: int = 0) -> Rounds:
        return self

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        for step in range(1, job.seed + 1):
            compute()
            report(Step(number=job.number, step=step, num_steps=job.seed, loss=0.0))
        return Evaluation(outcome="complete", scores={"accuracy": 0.0})


def compute() -> int:
    """Computes one check."""
    total = 0
    for number in range(ROUNDS_PER_CHECK):
        total = (total * 31 + number) % 1_000_003
    return total


def make_ray(num_workers: int) -> Executor:
    from nas.executors.ray import RayExecutor

    return RayExecutor(Rounds(), num_workers=num_workers)


EXECUTORS: dict[tuple[str, int], Callable[[], Executor]] = {
    ("local", 1): lambda: LocalExecutor(Rounds()),
    ("processes", 1): lambda: ProcessExecutor(Rounds(), num_workers=1),
    ("processes", 2): lambda: ProcessExecutor(Rounds(), num_workers=2),
    ("ray", 1): lambda: make_ray(1),
    ("ray", 2): lambda: make_ray(2),
}


def wall_seconds(executor: Executor, num_trials: int, checks: int, *, first: int) -> float:
    """Returns the time of a number of trials, each submitted as soon as a worker is free."""
    start, submitted, ended = time.perf_counter(), 0, 0
    while ended < num_trials:
        while submitted < num_trials and submitted - ended < executor.capacity:
            executor.submit(Job(number=first + submitted, architecture=ARCHITECTURE, seed=checks))
            submitted += 1
        _, evaluation = executor.wait(lambda step: None)
        assert evaluation.outcome == "complete", evaluation.reason
        ended += 1
    return time.perf_counter() - start


def checks_for(seconds: float) -> int:
    """Returns how many checks take a given time on one core of this machine."""
    start = time.process_time()
    for _ in range(20):
        compute()
    return max(1, round(20 * seconds / (time.process_time() - start)))


def main() -> None:
    """Prints one line per executor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--busy-trials", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    checks, load = checks_for(options.seconds), os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before the first line; Python "
        f"{platform.python_version()}; {options.trials} trials of nothing, {options.busy_trials} of "
        f"{options.seconds:g} s of one core"
    )
    print(
        f"{'executor':<10} {'workers':>7} {'start s':>8} {'nothing ms/trial':>17} {'busy s/trial':>13} "
        f"{'against local':>14} {'load':>5}"
    )
    local = 0.0
    for (name, workers), make in EXECUTORS.items():
        began = time.perf_counter()
        with make() as executor:
            wall_seconds(executor, 2 * workers, max(1, checks // 4), first=0)
            started = time.perf_counter() - began
            busy = wall_seconds(executor, options.busy_trials, checks, first=1000) / options.busy_trials
            nothing = wall_seconds(executor, options.trials, 0, first=2000) / options.trials
        local = local or busy
        print(
            f"{name:<10} {workers:>7} {started:>8.1f} {1000 * nothing:>17.2f} {busy:>13.2f} {local / busy:>13.2f}x "
            f"{os.getloadavg()[0]:>5.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
