"""What reading without NMS costs: the same network trained with the assignments `dual` and `many`.

The detector that was trained with `dual` is read without NMS, as it is deployed, and with NMS; so is, with NMS, its
second head, which is not deployed. Beside it stands the network that was trained with `many`, alike and from the same
initial weights. Prints a Markdown row for a seed; each score is AP / AP50 / AP_small in %. CPU seconds are those of the
training alone, in one process of one thread.

Usage: python -m benchmarks.one_to_one --data PATH --split block --design yolov8n-p2-nop5 --epochs 6 --seed 0
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from search_space import DESIGNS, Architecture, Detector
from search_space.plain import Options
from trainers import TrainConfig, fresh_detector, train
from trainers.data import Dataset, DataSplits, open_data
from trainers.evaluation import detect_dataset
from trainers.heads.one_to_many import one_to_many_state
from trainers.suppression import NMS_IOU, Suppression
from trainers.weights import read_torch

COLUMNS = (
    "design",
    "seed",
    "images",
    "CPU s dual",
    "CPU s many",
    "dual, without NMS",
    "dual, with NMS",
    "second head of dual, with NMS",
    "many, with NMS",
)


class Trained(NamedTuple):
    """A detector with its averaged weights after a training."""

    detector: Detector
    images: int
    cpu_seconds: float
    one_to_many: dict[str, torch.Tensor]
    """The state with the second head in place of the first; of a detector without one its own."""


def assigned(architecture: Architecture, assignment: str) -> Architecture:
    """Returns an architecture with another assignment of its head."""
    options = Options({**architecture.head.options, "assignment": assignment})
    return replace(architecture, head=replace(architecture.head, options=options))


def trained(architecture: Architecture, splits: DataSplits, config: TrainConfig) -> Trained:
    """Trains an architecture on the training images."""
    detector = fresh_detector(architecture, num_classes=len(splits.train.classes), seed=config.seed)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, began = Path(folder) / "last.pt", time.process_time()
        result = train(detector, splits.train, config=config, checkpoint=checkpoint)
        seconds = time.process_time() - began
        average = read_torch(checkpoint, "checkpoint")["average"]
    detector.load_state_dict(result.state_dict)
    return Trained(detector.eval(), result.images_seen, seconds, one_to_many_state(average))


def scores(detector: Detector, dataset: Dataset, iou_threshold: float | None) -> str:
    """Returns AP / AP50 / AP_small in %, read with NMS at a threshold, or as the head is made to be read."""
    found = detect_dataset(detector, dataset, suppression=Suppression(iou=iou_threshold))
    score = found.score(found.match())
    return " / ".join(f"{100 * value:.2f}" for value in (score.ap, score.ap50, score.ap_small))


def row(architecture: Architecture, splits: DataSplits, config: TrainConfig, name: str) -> list[str]:
    """Returns the cells of one seed."""
    dual = trained(assigned(architecture, "dual"), splits, config)
    many = trained(assigned(architecture, "many"), splits, config)
    read = [scores(dual.detector, splits.val, iou) for iou in (None, NMS_IOU)]
    dual.detector.load_state_dict(dual.one_to_many)
    read.append(scores(dual.detector, splits.val, NMS_IOU))
    read.append(scores(many.detector, splits.val, NMS_IOU))
    costs = [f"{each.cpu_seconds:.0f}" for each in (dual, many)]
    return [name, str(config.seed), str(dual.images), *costs, *read]


def main() -> None:
    """Trains twice and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=None, help="the data set; default: the built-in one")
    parser.add_argument("--split", default=None)
    parser.add_argument("--design", default="yolov8n-p2-nop5", choices=list(DESIGNS))
    parser.add_argument("--input", type=int, nargs=2, default=(160, 192), metavar=("H", "W"))
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = open_data(options.data, split=options.split)
    architecture = DESIGNS.get(options.design).architecture.resized(tuple(options.input))
    config = TrainConfig(epochs=options.epochs, batch_size=options.batch, seed=options.seed, device="cpu")
    cells = row(architecture, splits, config, options.design)
    for line in (COLUMNS, ["---"] * len(COLUMNS), cells):
        print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
