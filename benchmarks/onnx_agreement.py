"""Writes every design and random points as ONNX and compares them with PyTorch on real images.

For each it prints the largest difference of an output over the images, relative to the output's largest value. Batch
norms get random statistics, so that errors in folding them become visible. The limit is 1e-4.

With `--fix AXIS=CHOICE` only random points with that choice are compared, and no designs. With `--added N` these are
random points in which axes that the space has got since its first version have other choices than the architectures
had before: at least N points for each axis whose other choices are part of a search. Their inputs are small.

Usage: python benchmarks/onnx_agreement.py [--points 50] [--images 2] > benchmarks/results/onnx_agreement.txt
       python benchmarks/onnx_agreement.py --added 200
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from nas.cost import cost_of
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.errors import SpaceError
from trainers.data import open_data
from trainers.data.geometry import ImageFit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.space import smallest  # noqa: E402

DATA = Path(__file__).parents[1] / "tests" / "data" / "hit_uav"
BAR = 1e-4
MAX_DRAWS = 20_000
NUM_CLASSES = 4


def main() -> None:
    """Prints one line per architecture, and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument(
        "--max-gmacs", type=float, default=60.0, help="of random points, which are drawn from the whole space"
    )
    parser.add_argument("--fix", metavar="AXIS=CHOICE", action="append", default=[], help="can be given several times")
    parser.add_argument("--added", type=int, metavar="N", help="points for each axis that was added to the space")
    options = parser.parse_args()
    validation, worst, count = open_data(str(DATA)).val, 0.0, 0
    pictures = [validation.image(index % len(validation)) for index in range(options.images)]
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, {len(pictures)} images each")
    compared = (
        architectures(options.points, options.max_gmacs, options.fix)
        if options.added is None
        else added_axes(options.added)
    )
    for name, architecture in compared:
        began = time.perf_counter()
        detector = lively(architecture)
        hw = detector.input_hw
        how = detector.input_format.fit
        fits = [ImageFit.of((each.shape[0], each.shape[1]), hw, how).apply(each) for each in pictures]
        images = np.stack([each.transpose(2, 0, 1) for each in fits]).astype(np.float32) / np.float32(255)
        apart = difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images)
        worst, count = max(worst, apart), count + 1
        print(
            f"{name:<32} {detector.head:<12} {hw[0]}x{hw[1]:<6} {apart:.1e}  {time.perf_counter() - began:.1f} s",
            flush=True,
        )
    print(
        f"{count} architectures, largest difference {worst:.1e}, bar {BAR:.0e}: {'met' if worst < BAR else 'NOT met'}"
    )
    sys.exit(0 if worst < BAR else 1)


def architectures(num_points: int, max_gmacs: float, fixed: Sequence[str]) -> Iterator[tuple[str, Architecture]]:
    """Yields the designs by name, then random points of the whole space; with `fixed` only points with these choices.

    Args:
        fixed: choices as `AXIS=CHOICE`.
    """
    for name in DESIGNS if not fixed else ():
        yield name, DESIGNS.get(name).architecture
    space, rng, count = SearchSpace(), np.random.default_rng(0), 0
    words = dict(word.split("=", 1) for word in fixed)
    choices = {name: space.axis(name).parse(text) for name, text in words.items()}
    space = space.narrowed({name: (choice,) for name, choice in choices.items()})
    while count < num_points:
        try:
            params = space.random(rng)
            if not choices.items() <= params.items():  # an axis is not active
                continue
            architecture = space.decode(params)
            gmacs = cost_of(architecture, num_classes=NUM_CLASSES).gmacs
        except SpaceError:
            continue
        if gmacs <= max_gmacs:
            count += 1
            yield f"point {count}", architecture


def added_axes(num_points: int) -> Iterator[tuple[str, Architecture]]:
    """Yields random points with other choices on the added axes until the searched ones have enough; prints the counts.

    Half of the points have separate branches for boxes and classes, which some of these axes need.
    """
    space, rng, counts = SearchSpace(), np.random.default_rng(0), Counter[str]()
    added = [axis for axis in space.axes if axis.formerly is not None]
    others = {axis.name: tuple(each for each in axis.choices if each != axis.formerly) for axis in added}
    searched = {axis.name for axis in added if set(others[axis.name]) - set(axis.by_name)}
    searched |= {"activation", "assignment"}
    others["activation"] = tuple(each for each in space.axis("activation").choices if each != "silu")
    spaces = [space.narrowed({**others, "branches": branches}) for branches in (others["branches"], ("separate",))]
    for draw in islice(cycle(spaces), MAX_DRAWS):
        try:
            params = draw.random(rng)
            changed = {name for name in others if params.get(name) in others[name]}
            if not any(counts[name] < num_points for name in changed & searched):
                continue
            architecture = smallest(draw.decode(params))
            cost_of(architecture, num_classes=NUM_CLASSES)
        except SpaceError:  # such as a downsampling that keeps its channels where they would change
            continue
        counts.update(changed)
        yield f"point {params['backbone']} {len(changed)} axes", architecture
        if all(counts[name] >= num_points for name in searched):
            break
    print("points by axis: " + ", ".join(f"{name} {counts[name]}" for name in others))


def lively(architecture: Architecture) -> Detector:
    """Returns an untrained detector whose batch norms are not the identity."""
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=NUM_CLASSES))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return detector.eval()


if __name__ == "__main__":
    main()
