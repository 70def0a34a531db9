"""How many evaluations an hour a search makes: rungs laid by the time of the run against fixed rungs of 0.5 and 1.5
epochs that are all scored on every validation image.

The same random points are trained both ways in this process, in turns: each on the first rung, and one of three on the
second rung from its weights. Printed are evaluations an hour of CPU time, their ratio, and the rank correlation of the
first rungs of both ways.

Usage: python benchmarks/trial_rate.py --data PATH --split block --budget-gflops 0.25 --minutes 12 --points 9
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from nas.cost import Budget
from nas.engine.domain import Candidate, CostedDomain
from nas.engine.ladder import PROMOTED_SHARE, Ladder
from nas.engine.narrowing import with_defaults
from nas.engine.rung_plan import lay_rungs, measure_speed
from nas.engine.variation import random_feasible
from nas.executors import Evaluation, Job
from nas.executors.local import LocalExecutor
from nas.executors.training import TrainingEvaluator, TrainingSpec
from results.ranking import kendall_tau
from search_space import SearchSpace
from trainers import TrainConfig
from trainers.data import open_data

FIXED = Ladder(epochs=(0.5, 1.5))


@dataclass
class Way:
    """One way to evaluate points."""

    name: str
    ladder: Ladder
    holdout: bool
    seconds: float = 0.0
    num_trials: int = 0
    first: list[float] = field(default_factory=list)

    def take(self, evaluator: TrainingEvaluator, job: Job) -> Evaluation:
        """Evaluates a job and counts its CPU time."""
        before = time.process_time()
        found = evaluator.evaluate(job, lambda step: None)
        self.seconds += time.process_time() - before
        self.num_trials += 1
        return found

    @property
    def rate(self) -> float:
        """Evaluations in an hour."""
        return 3600 * self.num_trials / self.seconds


def points(options: argparse.Namespace, num_classes: int) -> list[Candidate]:
    """Returns random points within the budget."""
    space = SearchSpace().narrowed(with_defaults({}))
    domain = CostedDomain(space, Budget(gmacs=options.budget_gflops), num_classes=num_classes)
    rng, found = np.random.default_rng(options.seed), {}
    while len(found) < options.points:
        point = random_feasible(domain, rng, seen=list(found))
        found[point.key] = domain.assess(point.params)
    return list(found.values())


def rungs_of(number: int, ladder: Ladder) -> tuple[int, ...]:
    """Returns the rungs that a point is trained on: one of three is promoted, where there is a second rung."""
    return (1, 2) if number % PROMOTED_SHARE == 0 and ladder.last > 1 else (1,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--budget-gflops", type=float, default=0.25)
    parser.add_argument("--minutes", type=float, default=12, help="time of the search that the rungs are laid for")
    parser.add_argument("--points", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = open_data(options.data, split=options.split)
    candidates = points(options, len(splits.train.classes))
    evaluators = {
        holdout: TrainingSpec(config=TrainConfig(), holdout=holdout).over(splits, clock=time.process_time)
        for holdout in (False, True)
    }
    with LocalExecutor(evaluators[True], clock=time.process_time) as executor:
        speed = measure_speed(executor, candidates[0], seed=0, num_train=len(splits.train), batch=4)
    num_val = len(splits.val) // 2
    laid = lay_rungs(60 * options.minutes, speed, workers=1, num_train=len(splits.train), num_val=num_val, num_parts=2)
    ways = [Way("laid rungs", laid, True), Way("fixed rungs", FIXED, False)]
    print(f"laid: rungs of {laid.epochs} epochs, scored on {laid.images} images")
    with tempfile.TemporaryDirectory() as folder:
        for number, candidate in enumerate(candidates):
            for way in ways:
                path = Path(folder) / f"{way.name}-{number}.pt"
                for rung in rungs_of(number, way.ladder):
                    job = Job(
                        number=number,
                        architecture=candidate.architecture,
                        seed=0,
                        rung=rung,
                        epochs=way.ladder.effort(rung),
                        val_images=way.ladder.val_images(rung),
                        weights_path=path,
                        start_weights=path if rung > 1 else None,
                        is_reported=rung == way.ladder.last,
                    )
                    found = way.take(evaluators[way.holdout], job)
                    if rung == 1:
                        way.first.append(found.scores["accuracy"])
            print(f"{number}: " + ", ".join(f"{way.name} {100 * way.first[-1]:.2f} %" for way in ways), flush=True)
    for way in ways:
        print(f"{way.name}: {way.num_trials} evaluations in {way.seconds:.0f} CPU s, {way.rate:.0f} an hour")
    print(f"ratio: {ways[0].rate / ways[1].rate:.2f}")
    print(f"tau of the first rungs: {kendall_tau(ways[0].first, ways[1].first):.2f}")


if __name__ == "__main__":
    main()
