"""What the axes of light detectors do to the accuracy: changes of one design, trained alike from scratch.

All rows are `yolov8n-p2-nop5` with some axes changed, at one input: the largest at which the unchanged design fits the
budget. A row may be over the budget there; the table says so. For a seed all rows see the same images in the same order
for the same number of epochs, and are scored as deployed on the held-out validation images.

Milliseconds are predictions; "unmeasured" is the share of the time in operators that were never measured on the board.
Images a CPU second are measured in one thread: of the whole training, and of the detection in the held-out images, from
the file to the boxes. Every cell is a process of its own that leaves a JSON file; cells that have one are not repeated,
so the script may be stopped at any time.

Usage: python benchmarks/axis_accuracy.py --data PATH --split block --budget-gflops 0.5 --epochs 10 --seeds 0 1 2 \
           --rows base joint joint1 bins1 relu rep all --jobs 1 --out runs/axis_accuracy
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.cost import cost_of
from nas.cost.latency import load_model
from nas.engine.starts import JOINT_HEAD
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.axis import Choice
from search_space.deployed import deployed
from search_space.errors import BudgetError
from trainers import TrainConfig, fresh_detector, train
from trainers.data import open_data
from trainers.data.holdout import divide
from trainers.evaluation import detect_dataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import cells  # noqa: E402

DESIGN = "yolov8n-p2-nop5"
JOINT: dict[str, Choice] = {**JOINT_HEAD}
REP: dict[str, Choice] = {"block": "rep", "neck_block": "rep"}
ROWS: dict[str, tuple[str, dict[str, Choice]]] = {
    "base": ("as it is", {}),
    "joint": ("joint head of 32 channels", JOINT),
    "joint1": ("the same with one convolution", {**JOINT, "tower_convs": 1}),
    "bins1": ("one bin a side", {"bins": 1}),
    "relu": ("ReLU", {"activation": "relu"}),
    "rep": ("re-parameterised stages", REP),
    "all": ("all of it", {**JOINT, "tower_convs": 1, "bins": 1, "activation": "relu", **REP}),
}
BOARDS = {"jetson-nano": "Nano", "orin-nano": "Orin Nano"}
COLUMNS = (
    "row",
    "seeds",
    "GMACs",
    "k parameters",
    *(f"{title} ms (unmeasured)" for title in BOARDS.values()),
    "AP50 %",
    "AP %",
    "AP_small %",
    "training images/CPU s",
    "detection images/CPU s",
    "CPU s",
)


def base_side(gmacs: float, num_classes: int) -> int:
    """Returns the side in px of the largest input at which the unchanged design fits the budget.

    Raises:
        BudgetError: It fits at none.
    """
    space, design = SearchSpace(), DESIGNS.get(DESIGN).architecture
    sides = sorted((int(side) for side in space.axis("input_size").choices), reverse=True)
    for side in sides:
        scaled = design.resized((side, side))
        if space.contains(scaled) and cost_of(scaled, num_classes=num_classes).gmacs <= gmacs:
            return side
    raise BudgetError(f"{DESIGN} takes more than {gmacs:g} GMACs at every input size; next: a larger --budget-gflops")


def variant(row: str, side: int) -> Architecture:
    """Returns the design of a row at an input of `side` px; axes that become active have their former choice."""
    space = SearchSpace()
    point = space.encode(DESIGNS.get(DESIGN).architecture.resized((side, side)))
    changed = {**point, **ROWS[row][1]}
    return space.decode(
        space.completed(changed, lambda axis: axis.choices[0] if axis.formerly is None else axis.formerly)
    )


def costs(architecture: Architecture, num_classes: int) -> dict[str, Any]:
    """Returns the counts of an architecture and its predicted latencies in ms."""
    cost = cost_of(architecture, num_classes=num_classes)
    found: dict[str, Any] = {"gmacs": cost.gmacs, "params": cost.params}
    for board in BOARDS:
        latency = cost_of(architecture, num_classes=num_classes, device=load_model(board)).latency
        assert latency is not None
        found[board] = {"latency_ms": latency.latency_ms, "unmeasured": latency.unsupported_share}
    return found


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a row and scores it; returns the result of the cell."""
    splits = open_data(options.data, split=options.split)
    num_classes = len(splits.train.classes)
    architecture = variant(row, base_side(options.budget_gflops, num_classes))
    before = cells.cpu_seconds()
    detector = fresh_detector(architecture, num_classes=num_classes, seed=seed)
    result = train(detector, splits.train, config=TrainConfig(seed=seed, epochs=options.epochs))
    trained = cells.cpu_seconds()
    detector.load_state_dict(result.state_dict)
    held_out = divide(splits.val).held_out
    plain = deployed(detector.eval())
    ready = cells.cpu_seconds()
    detections = detect_dataset(plain, held_out)
    detected = cells.cpu_seconds()
    score = detections.score(detections.match())
    return {
        "row": row,
        "seed": seed,
        "epochs": options.epochs,
        "budget_gmacs": options.budget_gflops,
        "key": architecture.key(),
        "input_px": architecture.input_hw[0],
        **costs(architecture, num_classes),
        "images": result.images_seen,
        "held_out_images": len(held_out),
        "training_images_per_cpu_second": result.images_seen / (trained - before),
        "detection_images_per_cpu_second": len(held_out) / (detected - ready),
        "cpu_seconds": cells.cpu_seconds(),
        **{name: getattr(score, name) for name in cells.SCORES},
    }


def line(row: str, found: Sequence[dict[str, Any]]) -> str:
    """Returns the line of the table for a row that has cells."""
    first = found[0]
    over = " (over the budget)" if first["gmacs"] > first["budget_gmacs"] else ""
    boards = (f"{first[each]['latency_ms']:.2f} ({100 * first[each]['unmeasured']:.0f} %)" for each in BOARDS)
    shown = (
        ROWS[row][0] + over,
        str(len(found)),
        f"{first['gmacs']:.3f}",
        f"{first['params'] / 1e3:.1f}",
        *boards,
        *(cells.percent(found, name) for name in cells.SCORES),
        f"{cells.mean(found, 'training_images_per_cpu_second'):.2f}",
        f"{cells.mean(found, 'detection_images_per_cpu_second'):.1f}",
        f"{cells.mean(found, 'cpu_seconds'):.0f}",
    )
    return f"| {' | '.join(shown)} |"


def table(options: argparse.Namespace) -> str:
    """Returns a Markdown table of the cells that have ended."""
    rows = {row: cells.read_cells(options.out, row, options.seeds) for row in ROWS if row in options.rows}
    heading = (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")
    return "\n".join((*heading, *(line(row, found) for row, found in rows.items() if found)))


def check_same(options: argparse.Namespace) -> None:
    """Ends the script where the folder has cells of another number of epochs, budget or data set."""
    wanted = {"data": str(Path(options.data).resolve()), "split": options.split}
    cells.check_same(options.out, {**wanted, "epochs": options.epochs, "budget_gflops": options.budget_gflops})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells.add_options(parser, ROWS)
    parser.add_argument("--budget-gflops", type=float, default=0.5)
    parser.add_argument("--epochs", type=float, default=10.0)
    options = parser.parse_args()
    if cells.run_own_cell(options, run_cell):
        return
    check_same(options)
    cells.run_cells(__file__, options)
    print(table(options))


if __name__ == "__main__":
    main()
