"""Builds random points of the whole space and runs each forward and backward; counts them against fvcore.

Every axis is drawn evenly, widths and depths included; only the image is small, so that a CPU can run them all.

Usage: python benchmarks/space.py [--points 500] [--seed 0]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from nas.cost import cost_of
from nas.cost.oracle import fvcore_macs
from search_space import Detector, SearchSpace, lower

SIDE = 128


def check_point(space: SearchSpace, params: dict[str, int | float | str]) -> None:
    """Raises AssertionError where the point does not round-trip, build, run, learn or count."""
    architecture = space.decode(params)
    assert space.encode(architecture) == params
    small = architecture.resized((SIDE, SIDE))
    detector = Detector(lower(small, num_classes=3))
    maps = detector(torch.rand(2, 3, SIDE, SIDE))
    torch.stack([level.square().mean() for level in maps]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in detector.parameters())
    cost = cost_of(small, num_classes=3)
    assert cost.macs == fvcore_macs(detector, (3, SIDE, SIDE))
    assert cost.params == sum(p.numel() for p in detector.parameters())
    assert cost_of(architecture, num_classes=3).macs > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    space, rng = SearchSpace(), np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    started, failures = time.perf_counter(), 0
    for number in range(options.points):
        params = space.random(rng)
        try:
            check_point(space, params)
        except Exception as error:  # every failure is counted and shown; the script goes on
            failures += 1
            print(f"point {number} failed: {error!r}: {params}")
    seconds = time.perf_counter() - started
    print(
        f"{options.points - failures} of {options.points} points built, ran both ways, equalled fvcore "
        f"({seconds:.0f} s)"
    )
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
