"""CPU seconds of training steps that alternate among architectures, by the size of oneDNN's cache of primitives.

Random architectures of the space take one training step after the other, as in a search whose worker trains one after
the other. Each size of the cache is measured in a process of its own with one thread: oneDNN's default, and the size
that `nas.executors.onednn` sets.

Usage: python -m benchmarks.onednn_cache [--steps 252] [--architectures 12]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

import numpy as np
import torch

from nas.cost import cost_of
from nas.executors.onednn import CAPACITY, NAMES
from search_space import Detector, SearchSpace, lower
from search_space.errors import SpaceError

NUM_CLASSES, BATCH = 3, 4
GMACS = (0.05, 0.4)
MAX_PARAMS_M = 4.0


def detectors(number: int) -> list[Detector]:
    """Returns untrained detectors of random points, by a fixed seed."""
    space, rng = SearchSpace(), np.random.default_rng(0)
    found: list[Detector] = []
    while len(found) < number:
        try:
            architecture = space.decode(space.random(rng))
            cost = cost_of(architecture, num_classes=NUM_CLASSES)
        except SpaceError:
            continue
        if GMACS[0] <= cost.gmacs <= GMACS[1] and cost.params_m <= MAX_PARAMS_M:
            torch.manual_seed(0)
            found.append(Detector(lower(architecture, num_classes=NUM_CLASSES)).train())
    return found


def measure(steps: int, number: int) -> None:
    """Prints the CPU seconds of the steps, and the peak memory in MB."""
    torch.set_num_threads(1)
    trained = detectors(number)
    images = [torch.randn(BATCH, 3, *detector.input_hw) for detector in trained]
    before = resource.getrusage(resource.RUSAGE_SELF)
    for step in range(steps):
        detector = trained[step % number]
        outputs = detector(images[step % number])
        sum((output.float() ** 2).mean() for output in outputs if output.requires_grad).backward()  # type: ignore[union-attr]
        detector.zero_grad()
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{seconds:.1f} {after.ru_maxrss / 1e3:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=252)
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return measure(options.steps, options.architectures)
    seconds = {}
    for capacity in (None, CAPACITY):
        environment = {name: value for name, value in os.environ.items() if name not in NAMES}
        environment |= {} if capacity is None else {NAMES[0]: str(capacity)}
        command = [sys.executable, "-m", "benchmarks.onednn_cache", "--child"]
        command += ["--steps", str(options.steps), "--architectures", str(options.architectures)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        seconds[capacity], megabytes = map(float, done.stdout.split())
        print(f"{capacity or 'default'}: {seconds[capacity]:.1f} CPU s, {megabytes:.0f} MB", flush=True)
    print(f"ratio to the default: {seconds[CAPACITY] / seconds[None]:.2f}")


if __name__ == "__main__":
    main()
