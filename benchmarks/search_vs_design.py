"""Trains the best member of a run's front and a published design, scaled to the same budget, with the same settings.

Both are trained from scratch by `nas train` with the same epochs and the same seeds; the table gives the mean of AP50
on the validation images with its spread over the seeds. Trainings in the output folder are not repeated.

Usage: python benchmarks/search_vs_design.py --run runs/NAME --design yolov8n-p2-nop5 --budget-gflops 1 \
           --data PATH --split block --epochs 8 --seeds 0 1 2 --jobs 2 --out runs/comparison
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nas.cost import Budget, cost_of
from nas.engine.domain import CostedDomain
from nas.engine.starts import fit
from search_space import DESIGNS, Architecture, SearchSpace
from trainers.data import open_data

COLUMNS = ("AP50 %", "AP %", "AP_small %")


def scaled_design(name: str, budget: Budget, num_classes: int) -> Architecture:
    """Returns the design at the largest input within the budget, as in the start of a search."""
    start = fit(CostedDomain(SearchSpace(), budget, num_classes=num_classes), name, DESIGNS.get(name).architecture)
    if start is None:
        raise SystemExit(f"{name} does not fit the budget at any input")
    return start.candidate.architecture


def best_member(run: Path) -> Architecture:
    """Returns the member of the front with the highest accuracy in the search."""
    return Architecture.from_yaml(sorted((run / "front").glob("*.yaml"))[0])


def train_once(path: Path, seed: int, out: Path, options: argparse.Namespace) -> None:
    """Runs `nas train` unless its result exists."""
    if (out / "results.json").exists():
        return
    command = [sys.executable, "-m", "nas.cli", "train", str(path), "--data", options.data, "--seed", str(seed)]
    command += ["--epochs", str(options.epochs), "--threads", str(options.threads), "--out", str(out)]
    command += ["--split", options.split] if options.split else []
    command += ["--resume", str(out)] if (out / "last.pt").exists() else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def spread(values: list[float]) -> float:
    """Returns the sample standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def print_tables(members: dict[str, Architecture], num_classes: int, options: argparse.Namespace) -> None:
    """Prints a Markdown table of the scores and one of AP50 against epochs."""
    print(f"| detector | input | GMACs | 2x | params M | {' | '.join(COLUMNS)} | AP50 by seed |")
    print("|---" * (6 + len(COLUMNS)) + "|")
    curves: dict[str, list[list[float]]] = {}
    for name, architecture in members.items():
        cost = cost_of(architecture, num_classes=num_classes)
        folders = [options.out / f"{name}-seed{seed}" for seed in options.seeds]
        scores = [json.loads((folder / "results.json").read_text())["score"] for folder in folders]
        cells = [f"{100 * statistics.mean(values):.2f} ± {100 * spread(values):.2f}" for values in
                 ([score[key] for score in scores] for key in ("ap50", "ap", "ap_small"))]  # fmt: skip
        seeds = ", ".join(f"{100 * score['ap50']:.2f}" for score in scores)
        height, width = architecture.input_hw
        print(f"| {name} ({architecture.key()}) | {width}x{height} | {cost.gmacs:.4f} | {cost.gflops_2x:.4f} "
              f"| {cost.params_m:.4f} | {' | '.join(cells)} | {seeds} |")  # fmt: skip
        curves[name] = [[float(row["ap50"]) for row in csv.DictReader((f / "history.csv").open())] for f in folders]
    print("\n| epoch | " + " | ".join(f"{name}, AP50 %" for name in curves) + " |\n" + "|---" * (1 + len(curves)) + "|")
    for epoch, rows in enumerate(zip(*(zip(*curve, strict=True) for curve in curves.values()), strict=True), start=1):
        print(f"| {epoch} | " + " | ".join(f"{100 * statistics.mean(row):.2f}" for row in rows) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder; without it only the design is trained")
    parser.add_argument("--design", default="yolov8n-p2-nop5")
    parser.add_argument("--budget-gflops", type=float, default=1.0)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="parallel trainings")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads per training")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    started = time.perf_counter()
    num_classes = len(open_data(options.data, split=options.split).train.classes)
    members = {options.design: scaled_design(options.design, Budget(gmacs=options.budget_gflops), num_classes)}
    if options.run:
        members = {"best": best_member(options.run), **members}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, architecture in members.items():
        architecture.to_yaml(options.out / f"{name}.yaml")
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [(options.out / f"{name}.yaml", seed, options.out / f"{name}-seed{seed}")
                for seed in options.seeds for name in members]  # fmt: skip
        list(pool.map(lambda job: train_once(*job, options), jobs))
    print_tables(members, num_classes, options)
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes in this call")


if __name__ == "__main__":
    main()
