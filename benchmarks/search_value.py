"""What a search is worth: the same CPU seconds spent in five ways, scored on images that chose nothing.

Rows: `a` search with inheritance and finish; `b` search without inheritance, with finish; `c` random points with the
same finish; `d` the best named design, of those that fit the budget, trained for the whole time; `e` the best one where
designs are made narrower for the largest input that fits.

CPU seconds are user and system time of all processes of a cell, in one thread each. The best design is the one with the
highest accuracy after half an epoch; that choice is not charged. Every cell is a process of its own that leaves a JSON
file; cells that have one are not repeated, so the script may be stopped at any time.

Usage: python benchmarks/search_value.py --data PATH --split block --budget-gflops 0.25 --cpu-minutes 30 \
           --seeds 0 1 2 --rows a b c d e --jobs 1 --out runs/search_value
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.api.finishing import finish
from nas.api.training_speed import images_per_second
from nas.cost import Budget, cost_of
from nas.engine.domain import CostedDomain
from nas.engine.narrowing import with_defaults
from nas.engine.run_request import RunRequest
from nas.engine.rung_plan import laid
from nas.engine.search_study import RunningTrial
from nas.engine.session import begin, open_search
from nas.engine.starts import starting_points
from nas.engine.time_plan import plan_time
from nas.executors import Step
from nas.executors.local import LocalExecutor
from nas.executors.training import TrainingSpec
from results import records
from results.levelling import levelled
from results.ranking import kendall_tau
from results.trial import Trial
from search_space import DESIGNS, Architecture, SearchSpace
from trainers import TrainConfig, evaluate, fresh_detector, load_weights, train
from trainers.data import DataSplits, open_data
from trainers.data.holdout import divide

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import cells  # noqa: E402

ROWS = {
    "a": "search with inheritance, finish",
    "b": "search without inheritance, finish",
    "c": "random points, finish",
    "d": "best named design, trained",
    "e": "best design at the largest input, trained",
}
DESIGN_EPOCHS = 0.5
LARGEST_SIDE, NUM_NARROWED = 10_000, 6


def domain_of(options: argparse.Namespace, num_classes: int) -> CostedDomain:
    """Returns the space of a search under the budget, with heads as the papers have them, of separate towers."""
    space = SearchSpace().narrowed(with_defaults({"branches": ("separate",)}))
    return CostedDomain(space, Budget(gmacs=options.budget_gflops), num_classes=num_classes)


def scored(architecture: Architecture, state: Any, splits: DataSplits) -> dict[str, float]:
    """Returns the scores of weights on the held-out validation images."""
    detector = fresh_detector(architecture, num_classes=len(splits.train.classes), seed=0)
    detector.load_state_dict(state)
    found = evaluate(detector, divide(splits.val).held_out)
    return {name: getattr(found, name) for name in cells.SCORES}


def best_design(options: argparse.Namespace, *, wanted_side: int, among: int | None = None) -> Architecture:
    """Returns the design of a paper with the highest accuracy after half an epoch, as a search would start with it.

    Args:
        options: Of the command line.
        wanted_side: Of the input, in px; designs are made narrower for it.
        among: Only so many designs that are best at the largest input at their own width.
    """
    path = options.out / f"designs-{wanted_side}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    splits = open_data(options.data, split=options.split)
    selection = divide(splits.val).selection
    designs = [DESIGNS.get(name) for name in DESIGNS]
    named = {each.name: each.architecture for each in designs if not (each.reference or each.by_name)}
    if among is not None:
        ranks = json.loads((options.out / "designs-0.json").read_text())
        best = sorted(ranks, key=lambda name: -ranks[name]["accuracy"])[:among]
        named = {name: named[name] for name in best}
    domain = domain_of(options, len(splits.train.classes))
    starts, _ = starting_points(domain, named, wanted_side=wanted_side)
    for start in starts:
        if start.name in known:
            continue
        detector = fresh_detector(start.candidate.architecture, num_classes=len(splits.train.classes), seed=0)
        before = cells.cpu_seconds()
        result = train(detector, splits.train, selection, config=TrainConfig(epochs=DESIGN_EPOCHS))
        side = start.candidate.architecture.input_hw[0]
        found = {"accuracy": result.score.accuracy, "input_px": side, "cpu_seconds": cells.cpu_seconds() - before}
        print(f"{start.name}: {found}", flush=True)
        known[start.name] = found
        path.write_text(json.dumps(known, indent=1))
    return max(starts, key=lambda start: known[start.name]["accuracy"]).candidate.architecture


def trained_cell(architecture: Architecture, seed: int, splits: DataSplits, seconds: float) -> dict[str, Any]:
    """Trains an architecture on one schedule that takes the given CPU seconds, the start and the measurement of its
    speed included."""
    num_classes, num_images = len(splits.train.classes), len(splits.train)
    config = TrainConfig(seed=seed)
    speed = images_per_second(
        fresh_detector(architecture, num_classes=num_classes, seed=seed),
        splits.train,
        batch_size=config.batch_size,
        seed=seed,
        clock=cells.cpu_seconds,
        limit_seconds=seconds,
    )
    config = replace(config, epochs=(seconds - cells.cpu_seconds()) * speed / num_images)
    result = train(fresh_detector(architecture, num_classes=num_classes, seed=seed), splits.train, config=config)
    used = cells.cpu_seconds()
    return {
        "key": architecture.key(),
        "input_px": architecture.input_hw[0],
        "gmacs": cost_of(architecture, num_classes=num_classes).gmacs,
        "images": result.images_seen,
        "cpu_seconds": used,
        **scored(architecture, result.state_dict, splits),
    }


def rung_accuracy(run: Path, key: str) -> float:
    """Returns the accuracy of an architecture on the last rung of a run, at equal training."""
    trials = levelled(records.load(run))
    found = trials[(trials["key"] == key) & (trials["rung"] == trials["rungs"])]
    return float(found["accuracy"].iloc[0])


class Silent:
    """Follows a search without printing."""

    def started(self, running: RunningTrial) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def finished(self, trial: Trial, trials: list[Trial]) -> None: ...


def search_cell(row: str, seed: int, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Searches, trains the most accurate detector found on, and scores it; all in the given CPU seconds."""
    shutil.rmtree(options.out / f"{row}-{seed}", ignore_errors=True)
    request = RunRequest.of(
        data=options.data,
        split=options.split,
        budget_gflops=options.budget_gflops,
        minutes=plan_time(seconds, 1).search_seconds / 60,
        seed=seed,
        strategy="random" if row == "c" else "ehvi",
        inherit="donor" if row == "a" else "none",
        holdout="yes",
        threads=1,
        name=f"{row}-{seed}",
        out=str(options.out),
    )
    session = begin(request)
    evaluator = TrainingSpec.of(session.config).over(session.splits, clock=cells.cpu_seconds)
    with session.folder.locked(), LocalExecutor(evaluator, clock=cells.cpu_seconds) as executor:
        session, notices = laid(session, executor)
        print(*notices, sep="\n", flush=True)
        session = replace(session, starts=[]) if row == "c" else session
        ending = open_search(session, executor, Silent(), clock=cells.cpu_seconds).run()
    searched = cells.cpu_seconds()
    print(f"{ending} after {searched:.0f} CPU s", flush=True)
    (member,) = finish(session.folder.path, 1, seconds - searched, clock=cells.cpu_seconds, threads=1, on_notice=print)
    architecture = Architecture.from_dict(load_weights(member.weights).architecture)
    return {
        "key": member.key,
        "input_px": architecture.input_hw[0],
        "gmacs": member.macs / 1e9,
        "images": member.images_seen,
        "rung_accuracy": rung_accuracy(session.folder.path, member.key),
        "search_seconds": searched,
        "cpu_seconds": cells.cpu_seconds(),
        **{name: member.scores[name] for name in cells.SCORES},
    }


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the result of one cell."""
    seconds = 60 * options.cpu_minutes
    if row in "abc":
        return search_cell(row, seed, options, seconds)
    splits = open_data(options.data, split=options.split)
    design = Architecture.from_yaml(options.out / f"design-{row}.yaml")
    return trained_cell(design, seed, splits, seconds)


def print_tau(options: argparse.Namespace) -> None:
    """Prints how the order on the last rung of a search agrees with that after the full training."""
    found = [json.loads(path.read_text()) for path in sorted(options.out.glob("[abc]-*.json"))]
    known = [each for each in found if "rung_accuracy" in each]
    if len(known) > 1:
        finished = [(each["ap_small"] + each["ap50"]) / 2 for each in known]
        tau = kendall_tau([each["rung_accuracy"] for each in known], finished)
        print(f"\ntau between the last rung and the full training of {len(known)} detectors: {tau:.2f}")


def write_designs(options: argparse.Namespace) -> None:
    """Writes the designs of the rows `d` and `e`."""
    path = options.out / "design-d.yaml"
    if not path.exists():
        best_design(options, wanted_side=0).to_yaml(path)
    path = options.out / "design-e.yaml"
    if "e" in options.rows and not path.exists():
        best_design(options, wanted_side=LARGEST_SIDE, among=NUM_NARROWED).to_yaml(path)


def print_table(options: argparse.Namespace) -> None:
    """Prints a Markdown table of the cells that have ended."""
    print("| row | seeds | GMACs | images | CPU s | AP50 % | AP % | AP_small % |\n|---|---|---|---|---|---|---|---|")
    for row, title in ROWS.items():
        found = cells.read_cells(options.out, row, options.seeds)
        if found:
            scores = " | ".join(cells.percent(found, name) for name in cells.SCORES)
            gmacs, images, seconds = (cells.mean(found, name) for name in ("gmacs", "images", "cpu_seconds"))
            print(f"| {row} {title} | {len(found)} | {gmacs:.3f} | {images:.0f} | {seconds:.0f} | {scores} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells.add_options(parser, ROWS)
    parser.add_argument("--budget-gflops", type=float, default=0.25)
    parser.add_argument("--cpu-minutes", type=float, default=30)
    options = parser.parse_args()
    if cells.run_own_cell(options, run_cell):
        return
    if {"d", "e"} & set(options.rows):
        write_designs(options)
    cells.run_cells(__file__, options)
    print_table(options)
    print_tau(options)


if __name__ == "__main__":
    main()
