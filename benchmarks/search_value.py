"""What a search is worth: the same CPU seconds spent in five ways, scored on images that chose nothing.

Rows: `a` search with inheritance and finish; `b` search without inheritance, with finish; `c` random points with the
same finish; `d` the best named design, of those that fit the budget, trained for the whole time; `e` the same design at
the smallest width, and so at the largest input that fits.

CPU seconds are user and system time of all processes of a cell, in one thread each. The best design is the one with the
highest accuracy after half an epoch; that choice is not charged. Every cell is a process of its own that leaves a JSON
file; cells that have one are not repeated, so the script may be stopped at any time.

Usage: python benchmarks/search_value.py --data PATH --split block --budget-gflops 0.25 --cpu-minutes 30 \
           --seeds 0 1 2 --rows a b c d e --jobs 1 --out runs/search_value
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.cost import Budget, cost_of
from nas.engine.domain import CostedDomain
from nas.engine.narrowing import with_heads
from nas.engine.starts import starting_points
from search_space import DESIGNS, Architecture, SearchSpace
from trainers import TrainConfig, evaluate, fresh_detector, train
from trainers.data import DataSplits, open_data
from trainers.data.holdout import divide

ROWS = {
    "a": "search with inheritance, finish",
    "b": "search without inheritance, finish",
    "c": "random points, finish",
    "d": "best named design, trained",
    "e": "same design, largest input",
}
DESIGN_EPOCHS = 0.5
TRIAL_STEPS = 60
"""Steps that measure the speed of a design; their time is charged."""
SCORES = ("ap50", "ap", "ap_small")


def cpu_seconds() -> float:
    """Returns user and system time of this process and of its ended children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def opened(options: argparse.Namespace) -> DataSplits:
    """Returns the data with the part of the validation images that decides as its validation set."""
    return open_data(options.data, split=options.split)


def domain_of(options: argparse.Namespace, num_classes: int) -> CostedDomain:
    """Returns the space of a search under the budget."""
    space = SearchSpace().narrowed(with_heads({}))
    return CostedDomain(space, Budget(gmacs=options.budget_gflops), num_classes=num_classes)


def scored(architecture: Architecture, state: Any, splits: DataSplits) -> dict[str, float]:
    """Returns the scores of weights on the held-out validation images."""
    detector = fresh_detector(architecture, num_classes=len(splits.train.classes), seed=0)
    detector.load_state_dict(state)
    found = evaluate(detector, divide(splits.val).held_out)
    return {name: getattr(found, name) for name in SCORES}


def best_design(options: argparse.Namespace) -> Architecture:
    """Returns the named design with the highest accuracy after half an epoch, as a search starts with it."""
    path = options.out / "designs.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    splits = opened(options)
    selection = divide(splits.val).selection
    named = {name: DESIGNS.get(name).architecture for name in DESIGNS}
    starts, _ = starting_points(domain_of(options, len(splits.train.classes)), named)
    for start in starts:
        if start.name in known:
            continue
        detector = fresh_detector(start.candidate.architecture, num_classes=len(splits.train.classes), seed=0)
        before = cpu_seconds()
        result = train(detector, splits.train, selection, config=TrainConfig(epochs=DESIGN_EPOCHS))
        known[start.name] = {"accuracy": result.score.accuracy, "cpu_seconds": cpu_seconds() - before}
        print(f"{start.name}: {known[start.name]}", flush=True)
        path.write_text(json.dumps(known, indent=1))
    best = max(starts, key=lambda start: known[start.name]["accuracy"])
    return best.candidate.architecture


def thinnest(architecture: Architecture, options: argparse.Namespace, num_classes: int) -> Architecture:
    """Returns a design at the smallest width of the space and the largest input within the budget."""
    domain = domain_of(options, num_classes)
    sizes = [int(size) for size in domain.space.axis("input_size").choices]
    width = min(float(each) for each in domain.space.axis("width").choices)
    params = domain.space.encode(architecture) | {"width": width}
    found = [domain.consider({**params, **dict.fromkeys(set(params) & {"input_size", "free_input_size"}, size)})
             for size in sizes]  # fmt: skip
    return [each for each in found if each is not None and each.feasible][-1].architecture


def trained_cell(architecture: Architecture, seed: int, splits: DataSplits, seconds: float) -> dict[str, Any]:
    """Trains an architecture on one schedule that takes the given CPU seconds, the start of the process included."""
    num_classes, num_images = len(splits.train.classes), len(splits.train)
    config = TrainConfig(seed=seed)
    speed = replace(config, epochs=TRIAL_STEPS * config.batch_size / num_images)
    for _ in range(2):  # the first run fills the caches
        before = cpu_seconds()
        train(fresh_detector(architecture, num_classes=num_classes, seed=seed), splits.train, config=speed)
    an_image = (cpu_seconds() - before) / (TRIAL_STEPS * config.batch_size)
    config = replace(config, epochs=(seconds - cpu_seconds()) / an_image / num_images)
    result = train(fresh_detector(architecture, num_classes=num_classes, seed=seed), splits.train, config=config)
    used = cpu_seconds()
    return {
        "key": architecture.key(),
        "input_px": architecture.input_hw[0],
        "gmacs": cost_of(architecture, num_classes=num_classes).gmacs,
        "images": result.images_seen,
        "cpu_seconds": used,
        **scored(architecture, result.state_dict, splits),
    }


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the result of one cell."""
    splits, seconds = opened(options), 60 * options.cpu_minutes
    design = Architecture.from_yaml(options.out / f"design-{row}.yaml")
    return trained_cell(design, seed, splits, seconds)


def write_designs(options: argparse.Namespace) -> None:
    """Writes the designs of the rows `d` and `e`."""
    if (options.out / "design-e.yaml").exists():
        return
    best = best_design(options)
    best.to_yaml(options.out / "design-d.yaml")
    thinnest(best, options, len(opened(options).train.classes)).to_yaml(options.out / "design-e.yaml")


def in_process(row: str, seed: int, options: argparse.Namespace) -> None:
    """Runs a cell in a process of its own, unless its result exists."""
    if (options.out / f"{row}-{seed}.json").exists():
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--cell", row, str(seed)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def print_table(options: argparse.Namespace) -> None:
    """Prints a Markdown table of the cells that have ended."""
    print("| row | seeds | GMACs | images | CPU s | AP50 % | AP % | AP_small % |\n|---|---|---|---|---|---|---|---|")
    for row, title in ROWS.items():
        paths = (options.out / f"{row}-{seed}.json" for seed in options.seeds)
        cells = [json.loads(path.read_text()) for path in paths if path.exists()]
        if not cells:
            continue
        means = {name: statistics.mean(each[name] for each in cells) for name in ("gmacs", "images", "cpu_seconds")}
        shown = []
        for name in SCORES:
            values = [100 * each[name] for each in cells]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            shown.append(f"{statistics.mean(values):.2f} ± {spread:.2f}")
        print(f"| {row} {title} | {len(cells)} | {means['gmacs']:.3f} | {means['images']:.0f} "
              f"| {means['cpu_seconds']:.0f} | {' | '.join(shown)} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--budget-gflops", type=float, default=0.25)
    parser.add_argument("--cpu-minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.cell:
        row, seed = options.cell
        result = run_cell(row, int(seed), options)
        (options.out / f"{row}-{seed}.json").write_text(json.dumps(result, indent=1))
        return
    if {"d", "e"} & set(options.rows):
        write_designs(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        cells = [(row, seed) for seed in options.seeds for row in options.rows]
        list(pool.map(lambda cell: in_process(*cell, options), cells))
    print_table(options)


if __name__ == "__main__":
    main()
