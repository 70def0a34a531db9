"""Builds random points of the whole space and checks their counts against fvcore; trains some of them for one step.

Each axis is drawn as in a search, widths and depths included. Only the input is as small as possible, so that a CPU can
trace all points. Every tenth point, or every Nth, also runs forward and backward.

Usage: python benchmarks/space.py [--points 1000] [--seed 0] [--run-every 10]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import torch
from torch import nn

from nas.cost import cost_of
from nas.cost.oracle import fvcore_macs
from search_space import Architecture, Detector, SearchSpace, lower
from search_space.axis import Params
from search_space.errors import SpaceError

SIDES = (64, 128, 256)


def smallest(architecture: Architecture) -> Architecture:
    """Returns the architecture at the smallest of a few sizes that it accepts, otherwise at its own."""
    for side in SIDES:
        try:
            resized = architecture.resized((side, side))
            lower(resized, num_classes=3)
            return resized
        except SpaceError:
            pass
    return architecture


def build(architecture: Architecture) -> Detector:
    """Builds the detector with zero weights, which is faster than random ones; tracing needs no values."""
    with torch.device("meta"):
        detector = Detector(lower(architecture, num_classes=3))
    detector.to_empty(device="cpu")
    for tensor in (*detector.parameters(), *detector.buffers()):
        nn.init.zeros_(tensor)
    return detector


def check_point(space: SearchSpace, params: Params, *, run: bool) -> None:
    """Raises AssertionError if the point does not round-trip, build, count or, if requested, train."""
    architecture = space.decode(params)
    assert space.encode(architecture) == params
    assert cost_of(architecture, num_classes=3).macs > 0
    small = smallest(architecture)
    cost, detector = cost_of(small, num_classes=3), build(small)
    assert cost.macs == fvcore_macs(detector, (3, *small.input_hw))
    assert cost.params == sum(p.numel() for p in detector.parameters())
    if run:
        detector = Detector(lower(small, num_classes=3))
        outputs = detector(torch.rand(2, 3, *small.input_hw))
        torch.stack([out.square().mean() for out in outputs if out.requires_grad]).sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in detector.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run-every", type=int, default=10, metavar="N")
    options = parser.parse_args()
    space, rng = SearchSpace(), np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    started, failures, families = time.perf_counter(), 0, Counter[str]()
    for number in range(options.points):
        params = space.random(rng)
        families[f"{params['head']} on {params['backbone']}"] += 1
        try:
            check_point(space, params, run=number % options.run_every == 0)
        except Exception as error:  # failures are counted and printed; the script continues
            failures += 1
            print(f"point {number} failed: {error!r}: {params}", flush=True)
        if number % 100 == 99:
            print(f"{number + 1} points, {failures} failed, {time.perf_counter() - started:.0f} s", flush=True)
    num_run, passed = len(range(0, options.points, options.run_every)), options.points - failures
    print(
        f"{passed} of {options.points} points built and equalled fvcore, {num_run} of them ran both ways "
        f"({time.perf_counter() - started:.0f} s)"
    )
    print("; ".join(f"{count} {family}" for family, count in sorted(families.items())))
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
