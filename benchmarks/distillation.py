"""What a teacher does to the accuracy of a small detector: the same detector, trained with and without one.

Detector and teacher are `yolov8n-p2-nop5` with a joint head at one input, of two widths; at 256 px and 4 classes they
have 0.20 and 1.06 GMACs. The teacher is trained once. For a seed all rows see the same images in the same order; they
are scored on the held-out validation images. `longer` is trained without a teacher for more epochs, by the factor
`--longer`, for a comparison at about equal CPU time.

CPU seconds are those of the training alone, in one thread. The last column is the share of the time that the
predictions of the teacher took; the teacher's own training is in its row. Every
cell is a process of its own that leaves a JSON file; cells that have one are not repeated, so the script may be stopped
at any time.

Usage: python benchmarks/distillation.py --data PATH --split block --epochs 6 --teacher-epochs 6 --seeds 0 1 \
           --rows alone taught --out runs/distillation
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.api.trained_detector import load_detector
from nas.cost import cost_of
from nas.engine.starts import JOINT_HEAD
from search_space import DESIGNS, Architecture, SearchSpace
from trainers import TrainConfig, Weights, fresh_detector, save_weights, train
from trainers.data import open_data
from trainers.data.holdout import divide
from trainers.evaluation import detect_dataset
from trainers.loss_settings import DistillationOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import cells  # noqa: E402

DESIGN = "yolov8n-p2-nop5"
TEACHER = "teacher"
WIDTHS = {TEACHER: 0.375, "alone": 0.125, "taught": 0.125, "longer": 0.125}
"""Of the rows, as shares of the published width of YOLOv8."""
TITLES = {
    TEACHER: "teacher",
    "alone": "without a teacher",
    "taught": "with the teacher",
    "longer": "without a teacher, more epochs",
}
COLUMNS = (
    "row",
    "seeds",
    "GMACs",
    "images",
    "AP50 %",
    "AP %",
    "AP_small %",
    "CPU s",
    "share of the teacher",
)


def detector_of(row: str, side: int) -> Architecture:
    """Returns the architecture of a row at an input of `side` px."""
    space = SearchSpace()
    point = space.encode(DESIGNS.get(DESIGN).architecture.resized((side, side)))
    changed = {**point, **JOINT_HEAD, "width": WIDTHS[row]}
    return space.decode(
        space.completed(changed, lambda axis: axis.choices[0] if axis.formerly is None else axis.formerly)
    )


def epochs_of(row: str, options: argparse.Namespace) -> float:
    """Returns the epochs of a row."""
    factor = options.longer if row == "longer" else 1.0
    return float(options.teacher_epochs if row == TEACHER else factor * options.epochs)


def teacher_of(options: argparse.Namespace) -> Weights:
    """Returns the weights of the teacher: those given, or those of its cell."""
    return load_detector(options.teacher or options.out / "teacher.pt").content


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a row and scores it; returns the result of the cell."""
    splits = open_data(options.data, split=options.split)
    classes = splits.train.classes
    architecture = detector_of(row, options.side)
    detector = fresh_detector(architecture, num_classes=len(classes), seed=seed)
    config = TrainConfig(
        seed=seed,
        epochs=epochs_of(row, options),
        distillation=DistillationOptions(
            distill_weight=options.distill_weight, distill_confidence=options.distill_confidence
        ),
    )
    teacher = teacher_of(options) if row == "taught" else None
    before = cells.cpu_seconds()
    result = train(detector, splits.train, config=config, teacher=teacher)
    trained = cells.cpu_seconds()
    if row == TEACHER:
        save_weights(options.out / "teacher.pt", result.state_dict, architecture.to_dict(), classes, splits.pixel_range)
    detector.load_state_dict(result.state_dict)
    held_out = divide(splits.val).held_out
    detections = detect_dataset(detector.eval(), held_out)
    score = detections.score(detections.match())
    return {
        "row": row,
        "seed": seed,
        "epochs": config.epochs,
        "key": architecture.key(),
        "gmacs": cost_of(architecture, num_classes=len(classes)).gmacs,
        "images": result.images_seen,
        "held_out_images": len(held_out),
        "cpu_seconds": trained - before,
        "teacher_share": result.teacher_seconds / result.seconds,
        **{name: getattr(score, name) for name in cells.SCORES},
    }


def line(row: str, found: Sequence[dict[str, Any]]) -> str:
    """Returns the line of the table for a row that has cells."""
    shown = (
        TITLES[row],
        str(len(found)),
        f"{found[0]['gmacs']:.3f}",
        str(found[0]["images"]),
        *(cells.percent(found, name) for name in cells.SCORES),
        f"{cells.mean(found, 'cpu_seconds'):.0f}",
        f"{100 * cells.mean(found, 'teacher_share'):.0f} %",
    )
    return f"| {' | '.join(shown)} |"


def table(options: argparse.Namespace) -> str:
    """Returns a Markdown table of the cells that have ended."""
    rows = {row: cells.read_cells(options.out, row, options.seeds) for row in WIDTHS if row in options.rows}
    rows = {TEACHER: cells.read_cells(options.out, TEACHER, [0]), **rows}
    heading = (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")
    return "\n".join((*heading, *(line(row, found) for row, found in rows.items() if found)))


def check_same(options: argparse.Namespace) -> None:
    """Ends the script where the folder has cells of another comparison."""
    names = ("split", "epochs", "teacher_epochs", "longer", "side", "distill_weight", "distill_confidence")
    wanted = {"data": str(Path(options.data).resolve()), "teacher": options.teacher and str(options.teacher.resolve())}
    wanted |= {name: getattr(options, name) for name in names}
    path = options.out / "comparison.json"
    if path.exists() and json.loads(path.read_text()) != wanted:
        sys.exit(f"{options.out} has cells of {json.loads(path.read_text())}, asked for {wanted}; next: another --out")
    path.write_text(json.dumps(wanted, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells.add_options(parser, [row for row in WIDTHS if row != TEACHER])
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--teacher-epochs", type=float, default=6.0)
    parser.add_argument("--longer", type=float, default=2.5, help="factor on the epochs of the row `longer`")
    parser.add_argument("--side", type=int, default=256, help="height and width of the input in px")
    parser.add_argument("--teacher", type=Path, help="weights of another teacher; default: the row `teacher`")
    parser.add_argument("--distill-weight", type=float, default=DistillationOptions().distill_weight)
    parser.add_argument("--distill-confidence", type=float, default=DistillationOptions().distill_confidence)
    parser.set_defaults(rows=["alone", "taught"], seeds=[0, 1])
    options = parser.parse_args()
    if cells.run_own_cell(options, run_cell):
        return
    check_same(options)
    if options.teacher is None:
        cells.run_cells(__file__, argparse.Namespace(**{**vars(options), "rows": [TEACHER], "seeds": [0]}))
    cells.run_cells(__file__, options)
    print(table(options))


if __name__ == "__main__":
    main()
