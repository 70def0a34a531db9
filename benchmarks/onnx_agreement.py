"""Writes every design and random points as ONNX and compares them with PyTorch on real images.

For each it prints the largest difference of an output over the images, relative to the output's largest value, and the
rounding of PyTorch itself: 32-bit against 64-bit floats, measured alike. The limit of the difference is 1e-4.

Batch norms get random statistics, so that errors in folding them become visible. They are in proportion to the inputs:
with others, maps grow to 1e5 over nested blocks. Where a ReLU6 or a gate reads such a map, 32-bit floats round by more
than the limit, in PyTorch as in ONNX Runtime.

With `--fix AXIS=CHOICE` only random points with that choice are compared, and no designs. With `--added N` these are
random points in which axes that the space has got since its first version have other choices than the architectures
had before: at least N points that agree for each axis whose other choices are part of a search. Their inputs are small.

With `--out FOLDER` each result is a file there. A run that was stopped continues if it is started again, and `--total`
prints what the folder has so far.

Usage: python benchmarks/onnx_agreement.py [--points 50] [--images 2] > benchmarks/results/onnx_agreement.txt
       python benchmarks/onnx_agreement.py --added 200 --out FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from nas.cost import cost_of
from nas.exporters.onnx_model import Exportable, OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.errors import SpaceError
from trainers.data import open_data
from trainers.data.geometry import ImageFit
from trainers.detect import evaluation_mode

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.space import smallest  # noqa: E402

DATA = Path(__file__).parents[1] / "tests" / "data" / "hit_uav"
BAR = 1e-4
MAX_DRAWS = 20_000
NUM_CLASSES = 4


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The comparison of one architecture."""

    name: str
    head: str
    side: int
    """Width of the input, px."""
    axes: tuple[str, ...]
    """Added axes with another choice than before."""
    difference: float
    rounding: float
    seconds: float
    digest: str

    @property
    def agrees(self) -> bool:
        """Whether the difference is below the bar."""
        return self.difference < BAR

    def __str__(self) -> str:
        size = f"{self.side}x{self.side}"
        return (
            f"{self.name:<32} {self.head:<12} {size:<10} {self.difference:.1e}  "
            f"PyTorch {self.rounding:.1e}  {self.seconds:.1f} s"
        )


def main() -> None:
    """Prints one line per architecture, and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument(
        "--max-gmacs", type=float, default=60.0, help="of random points, which are drawn from the whole space"
    )
    parser.add_argument("--fix", metavar="AXIS=CHOICE", action="append", default=[], help="can be given several times")
    parser.add_argument("--added", type=int, metavar="N", help="points for each axis that was added to the space")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for one file per result; those there are kept")
    parser.add_argument("--total", action="store_true", help="print the totals of --out and compare nothing")
    options = parser.parse_args()
    if options.total:
        if options.out is None:
            parser.error("--total needs --out FOLDER")
        sys.exit(print_totals([_read(path) for path in sorted(options.out.glob("*.json"))]))
    validation = open_data(str(DATA)).val
    pictures = [validation.image(index % len(validation)) for index in range(options.images)]
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, {len(pictures)} images each", flush=True)
    counts, results = Counter[str](), list[Agreement]()
    compared = (
        (
            (name, architecture, ())
            for name, architecture in architectures(options.points, options.max_gmacs, options.fix)
        )
        if options.added is None
        else added_axes(options.added, counts)
    )
    for name, architecture, axes in compared:
        file = None if options.out is None else options.out / f"{len(results) + 1:04d}.json"
        result = compare(name, architecture, axes, pictures, file)
        counts.update(result.axes if result.agrees else ())
        results.append(result)
        print(result, flush=True)
    sys.exit(print_totals(results))


def print_totals(results: Sequence[Agreement]) -> int:
    """Prints for each added axis the points that agree and the largest difference, then the total; returns 1 if not all
    agree."""
    for axis in sorted({axis for each in results for axis in each.axes}):
        of_axis = [each for each in results if axis in each.axes]
        agreeing = sum(each.agrees for each in of_axis)
        largest = max(each.difference for each in of_axis)
        print(f"{axis:<20} {agreeing} of {len(of_axis)} points agree, largest difference {largest:.1e}")
    worst, rounding = (
        max((getattr(each, field) for each in results), default=0.0) for field in ("difference", "rounding")
    )
    agreeing = sum(each.agrees for each in results)
    print(
        f"{agreeing} of {len(results)} architectures agree, largest difference {worst:.1e}, "
        f"largest rounding of PyTorch {rounding:.1e}, bar {BAR:.0e}: {'met' if agreeing == len(results) else 'NOT met'}"
    )
    return int(agreeing < len(results))


def compare(
    name: str, architecture: Architecture, axes: tuple[str, ...], pictures: Sequence[np.ndarray], file: Path | None
) -> Agreement:
    """Compares one architecture, or reads its result from the file if that is of the same one."""
    digest = hashlib.sha256(repr(architecture).encode()).hexdigest()[:16]
    if file is not None and file.exists() and (found := _read(file)).digest == digest:
        return found
    began = time.perf_counter()
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=NUM_CLASSES))
    hw, how = detector.input_hw, detector.input_format.fit
    fits = [ImageFit.of((each.shape[0], each.shape[1]), hw, how).apply(each) for each in pictures]
    images = np.stack([each.transpose(2, 0, 1) for each in fits]).astype(np.float32) / np.float32(255)
    set_statistics(detector, torch.from_numpy(images))
    apart = difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images)
    result = Agreement(
        name=name,
        head=detector.head,
        side=hw[1],
        axes=axes,
        difference=apart,
        rounding=rounding_of(detector, torch.from_numpy(images)),
        seconds=time.perf_counter() - began,
        digest=digest,
    )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".tmp").write_text(json.dumps(asdict(result)))
        file.with_suffix(".tmp").replace(file)
    return result


def _read(file: Path) -> Agreement:
    values = json.loads(file.read_text())
    return Agreement(**{**values, "axes": tuple(values["axes"])})


def rounding_of(detector: Detector, images: torch.Tensor) -> float:
    """Returns the largest difference of an output in 32-bit floats from 64-bit ones, relative to its largest value."""
    with evaluation_mode(detector):
        single = Exportable(detector, OnnxOptions()).eval()
        double = deepcopy(detector).double().eval()
        worst = 0.0
        for image in images:
            exact = double.maps(image[None].double(), single.nodes)
            for found, expected in zip(single(image[None]), exact, strict=True):
                scale = float(expected.abs().max()) or 1.0
                worst = max(worst, float((found - expected).abs().max()) / scale)
    return worst


@torch.no_grad()
def set_statistics(detector: Detector, images: torch.Tensor) -> None:
    """Gives each batch norm random means and variances in proportion to the mean square of its input for the images.

    The maps keep their scale at any depth, as in a trained network.
    """

    def set_norm(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        square = inputs[0].square().mean()
        norm.running_mean.normal_(0, 0.2).mul_(square.sqrt())
        norm.running_var.uniform_(0.5, 1.5).mul_(square)

    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(set_norm) for norm in norms]
    Exportable(detector.eval(), OnnxOptions())(images)
    for hook in hooks:
        hook.remove()


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


def added_axes(num_points: int, counts: Counter[str]) -> Iterator[tuple[str, Architecture, tuple[str, ...]]]:
    """Yields random points with other choices on the added axes until the searched ones have enough.

    Half of the points have separate branches for boxes and classes, which some of these axes need.

    Args:
        counts: agreeing points by axis, which the caller keeps.
    """
    space, rng = SearchSpace(), np.random.default_rng(0)
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
        yield f"point {params['backbone']} {len(changed)} axes", architecture, tuple(sorted(changed))
        if all(counts[name] >= num_points for name in searched):
            break


if __name__ == "__main__":
    main()
