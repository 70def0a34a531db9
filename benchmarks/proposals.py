"""Measures the proposals of strategies over the whole space of anchor-free detectors, without training.

For each strategy and budget: CPU seconds per proposal with 0, 50 and 300 trials in the history (median of a few,
maximum in brackets), how many proposals are new points within the budget, and how many input sizes, backbones and necks
they have. For random points: the share within the budget, before and after repair.

The history is synthetic: random points within the budget, with noisy accuracies that grow with MACs, input size and
parameters. Each proposal is then added as evaluated.

Usage: python benchmarks/proposals.py [--strategies tpe nsga2] [--gmacs 0.3 0.05] [--proposals 40] [--timed 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from nas.cost import Budget
from nas.engine.domain import CostedDomain, CostedPoint, side_of
from nas.engine.history import History, Observation
from nas.engine.objectives import objectives
from nas.engine.strategies import STRATEGIES
from nas.engine.variation import random_feasible, repaired
from search_space import SearchSpace

OBJECTIVES = objectives(("accuracy", "macs"))
SPACE = SearchSpace().narrowed({"head": ("anchor_free",)})
LENGTHS = (0, 50, 300)
NOISE = 0.015


def told(number: int, point: CostedPoint) -> Observation:
    """Returns a trial with a synthetic accuracy that rises with the costs and saturates."""
    rng = np.random.default_rng(zlib.crc32(point.key.encode()))
    macs, params, side = (point.costs[name] for name in ("macs", "params", "input_px"))
    accuracy = 0.35 * (macs / (macs + 1e8)) ** 0.5 * side / (side + 256) + 0.05 * params / (params + 1e6)
    values = (max(0.0, accuracy + NOISE * rng.normal()), macs)
    return Observation(
        number=number, key=point.key, params=point.params, state="evaluated", values=values, costs=point.costs
    )


def made_up(domain: CostedDomain, length: int, seed: int) -> list[Observation]:
    """Returns random trials within the budget."""
    rng, trials = np.random.default_rng(seed), list[Observation]()
    while len(trials) < length:
        point = random_feasible(domain, rng, seen={trial.key for trial in trials})
        if point is not None:
            trials.append(told(len(trials), point))
    return trials


def propose(
    name: str, domain: CostedDomain, trials: list[Observation], count: int
) -> tuple[list[float], list[CostedPoint]]:
    """Asks a strategy repeatedly and adds each proposal to its history; returns CPU seconds and valid proposals."""
    seconds, good = [], []
    for _ in range(count):
        history = History(objectives=OBJECTIVES, trials=tuple(trials))
        started = time.process_time()
        proposal = STRATEGIES.get(name)(history, domain, seed=len(trials))
        seconds.append(time.process_time() - started)
        point = None if proposal is None else domain.consider(proposal.params)
        if point is not None and point.feasible and point.key not in history.seen:
            good.append(point)
            trials.append(told(len(trials), point))
    return seconds, good


def variety(points: Sequence[CostedPoint]) -> str:
    """Describes how many input sizes, backbones and necks the points have."""
    sizes = {side_of(point.params) for point in points}
    backbones, necks = ({str(point.params.get(name)) for point in points} for name in ("backbone", "topology"))
    return f"{len(sizes)} sizes, {len(backbones)} backbones, {len(necks)} necks"


def blind(domain: CostedDomain, count: int) -> str:
    """Describes the share of uniformly drawn points within the budget, before and after repair."""
    rng = np.random.default_rng(0)
    drawn = [domain.space.random(rng) for _ in range(count)]
    candidates = [domain.consider(params) for params in drawn]
    at_once = sum(each is not None and each.feasible for each in candidates)
    after = sum(repaired(domain, params, rng, seen=()) is not None for params in drawn)
    return f"{100 * at_once / count:.0f} % fit at once, {100 * after / count:.0f} % after repair"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", default=[name for name in STRATEGIES if name != "grid"])
    parser.add_argument("--gmacs", nargs="+", type=float, default=[0.3, 0.05])
    parser.add_argument("--proposals", type=int, default=40, help="proposals of a search without history")
    parser.add_argument("--timed", type=int, default=5, help="proposals with each longer history")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for gmacs in options.gmacs:
        domain = CostedDomain(SPACE, Budget(gmacs=gmacs), num_classes=4)
        print(f"{gmacs:g} GMACs, drawn blindly: {blind(domain, options.proposals)}", flush=True)
        history = made_up(domain, max(LENGTHS), options.seed)
        for name in options.strategies:
            line = []
            for length in LENGTHS:
                count = options.timed if length else options.proposals
                seconds, good = propose(name, domain, history[:length], count)
                line.append(f"{length}: {statistics.median(seconds):.2f} s ({max(seconds):.2f})")
                if not length:
                    line[0] += f", {100 * len(good) / count:.0f} % good, {variety(good)}"
            print(f"{gmacs:g} GMACs, {name:9} {'; '.join(line)}", flush=True)


if __name__ == "__main__":
    main()
