"""Cells of a comparison of trainings: each is a process of its own, in one thread, that leaves a JSON file.

A cell is a row of the comparison with one seed. Cells that have a file are not repeated, so a comparison may be stopped
at any time. CPU seconds are user and system time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SCORES = ("ap50", "ap", "ap_small")


def cpu_seconds() -> float:
    """Returns user and system time of this process and of its ended children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def add_options(parser: argparse.ArgumentParser, rows: Iterable[str]) -> None:
    """Adds the options that all comparisons have."""
    names = list(rows)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=names, choices=names)
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)


def path_of(out: Path, row: str, seed: int) -> Path:
    """Returns the file of a cell."""
    return out / f"{row}-{seed}.json"


def write_cell(out: Path, row: str, seed: int, result: dict[str, Any]) -> None:
    """Writes the result of a cell; there is no file until it is whole."""
    path = path_of(out, row, seed)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(result, indent=1))
    unfinished.replace(path)


def read_cells(out: Path, row: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the results of a row as far as its cells have ended."""
    paths = (path_of(out, row, seed) for seed in seeds)
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def run_own_cell(options: argparse.Namespace, run_cell: Callable[..., dict[str, Any]]) -> bool:
    """Runs the cell that this process was started for, if there is one, and writes its result; returns whether."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.cell:
        row, seed = options.cell[0], int(options.cell[1])
        write_cell(options.out, row, seed, run_cell(row, seed, options))
    return bool(options.cell)


def run_cells(script: str, options: argparse.Namespace) -> None:
    """Runs the cells that have no result, with the arguments of this process and `--cell ROW SEED`.

    Raises:
        CalledProcessError: A cell failed.
    """

    def run(cell: tuple[str, int]) -> None:
        if not path_of(options.out, *cell).exists():
            command = [sys.executable, script, *sys.argv[1:], "--cell", *map(str, cell)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, [(row, seed) for seed in options.seeds for row in options.rows]))


def check_same(out: Path, wanted: dict[str, Any]) -> None:
    """Ends the script where the folder has cells of another comparison, and writes what this one is."""
    path = out / "comparison.json"
    if path.exists() and json.loads(path.read_text()) != wanted:
        sys.exit(f"{out} has cells of {json.loads(path.read_text())}, asked for {wanted}; next: another --out")
    path.write_text(json.dumps(wanted, indent=1))


def mean(cells: Sequence[dict[str, Any]], name: str) -> float:
    """Returns the mean of a figure over the seeds."""
    return statistics.mean(each[name] for each in cells)


def percent(cells: Sequence[dict[str, Any]], name: str) -> str:
    """Returns a score in percent with its deviation over the seeds; that of one seed is 0."""
    values = [100 * each[name] for each in cells]
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0.0:.2f}"
