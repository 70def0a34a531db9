"""Times the cost of a candidate from cached nodes, latency included, against fvcore's trace of the same candidate.

Usage: python benchmarks/cost.py [--points 20] [--repeats 50] [--seed 0] [--device jetson-nano-ort-fp32]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from nas.cost import cost_of
from nas.cost.latency import load_model
from nas.cost.oracle import fvcore_macs
from search_space import Detector, SearchSpace, lower


def seconds_of_fvcore(architecture: object, num_classes: int) -> tuple[float, int]:
    """Builds and traces a module, as a search without cached nodes would."""
    started = time.perf_counter()
    detector = Detector(lower(architecture, num_classes=num_classes))  # type: ignore[arg-type]
    macs = fvcore_macs(detector, (3, *detector.input_hw))
    return time.perf_counter() - started, macs


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Returns the median time of `work`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20, help="random points under 2 GMACs")
    parser.add_argument("--repeats", type=int, default=50, help="timed costings of each point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="jetson-nano-ort-fp32", help="board to predict latency for")
    options = parser.parse_args()
    device = load_model(options.device)
    torch.set_num_threads(1)
    space, rng = SearchSpace(), np.random.default_rng(options.seed)
    first, remembered, timed, predicted, traced = [], [], [], [], []
    while len(traced) < options.points:
        architecture = space.decode(space.random(rng))
        started = time.perf_counter()
        cost = cost_of(architecture, num_classes=4)
        first.append(time.perf_counter() - started)
        if cost.gmacs > 2:
            continue
        remembered.append(median_seconds(lambda at=architecture: cost_of(at, num_classes=4), options.repeats))
        cost_of(architecture, num_classes=4, device=device)
        both = median_seconds(lambda at=architecture: cost_of(at, num_classes=4, device=device), options.repeats)
        timed.append(both)
        graph = lower(architecture, num_classes=4)
        predicted.append(median_seconds(lambda of=graph: device.latency(of), options.repeats))
        seconds, macs = seconds_of_fvcore(architecture, num_classes=4)
        traced.append(seconds)
        if macs != cost.macs:
            raise SystemExit(f"counts differ: ours {cost.macs}, fvcore {macs}, key {architecture.key()}")
    ours, fvcore = statistics.median(remembered), statistics.median(traced)
    print(f"{options.points} random points under 2 GMACs, one thread, medians; every count equals fvcore's")
    print(f"first sight (blocks run once on meta)  {1e3 * statistics.median(first):9.3f} ms")
    print(f"remembered nodes                       {1e3 * ours:9.3f} ms   ({1 / ours:,.0f} candidates a second)")
    both, alone = statistics.median(timed), statistics.median(predicted)
    print(f"the same with latency                  {1e3 * both:9.3f} ms   ({1 / both:,.0f} candidates a second)")
    print(f"latency alone, of a lowered graph      {1e3 * alone:9.3f} ms   (device {device.profile.name})")
    print(f"fvcore (build, trace)                  {1e3 * fvcore:9.3f} ms")
    print(f"ratio fvcore / remembered              {fvcore / ours:9.0f}")
    print(f"ratio fvcore / remembered with latency {fvcore / both:9.0f}")


if __name__ == "__main__":
    main()
