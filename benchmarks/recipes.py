"""What the recipe of each paper and our defaults make of one design, trained alike from scratch on the same images.

A row is a design of a paper, trained by `paper`, the recipe that `nas train DESIGN --recipe paper` takes, or by `ours`,
the defaults of `nas train`. Both have the same images, input, batch size, number of epochs and seed, start from random
weights and compute in float32, and the averaged weights of the last step are scored.

The recipes are shortened to the epochs of the comparison. What they state in epochs, the warm-up and the end without
mosaic, is shortened by the same factor. A warm-up in steps is kept, but takes at most a tenth of the training. Where a
recipe does not add up batches to a nominal one, its learning rate is multiplied by the ratio of the batch sizes. All
else is the recipe.

So the table is no judgement of the papers: they train up to hundreds of times longer, and TinyDet and SSD start from
trained weights. Scores are those of all validation images as `nas val` counts by default, for both rows; AP50 with the
suppression of the recipe is in a column of its own, also for both. Every cell is a process of its own in one thread;
cells that have a file are not repeated, so the script may be stopped at any time.

Usage: python benchmarks/recipes.py --data PATH --split block --epochs 6 --seeds 0 1 --out runs/recipes
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.api.recipes import PAPER, recipe_of
from nas.api.train_settings import fresh
from search_space import DESIGNS
from trainers import TrainConfig, fresh_detector, train
from trainers.data import open_data
from trainers.evaluation import detect_dataset
from trainers.suppression import DEFAULT_SUPPRESSION, Suppression

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import cells  # noqa: E402

FAMILIES = {
    "so-det": "sodet-s",
    "tinydet": "tinydet-s",
    "yolov8-small": "yolov8n-p2-nop5-bidir-cbam",
    "sn2-yolo": "sn2-yolov8n",
    "ssd": "ssd-mobilenetv1",
}
"""A small design of each paper."""
BY = (PAPER, "ours")
ROWS = {f"{family}-{by}": (design, by) for family, design in FAMILIES.items() for by in BY}
COLUMNS = (
    "design",
    "recipe",
    "epochs",
    "seeds",
    "AP50 %",
    "AP %",
    "AP_small %",
    "AP50 % as the recipe counts",
    "CPU s",
)
WARMUP_SHARE = 0.1
"""The largest share of a training that a warm-up in steps takes."""
SAME = ("split", "epochs", "images", "val_images", "imgsz", "batch")
"""Options in which all cells of a folder agree, beside the data."""


def settings(design: str, recipe: str | None, options: argparse.Namespace, **given: Any) -> TrainConfig:
    """Returns the settings of a training as `nas train` has them."""
    given = {"recipe": recipe, "precision": "float32", "out": options.out / "unused", **given}
    return fresh(design, {name: value for name, value in given.items() if value is not None}, lambda _: None).config


def shortened(published: TrainConfig, epochs: float, batch_size: int, num_images: int) -> TrainConfig:
    """Returns the settings of a recipe for fewer epochs and another batch size; see the docstring of this script."""
    share, schedule = epochs / published.epochs, published.schedule
    rate = published.peak_learning_rate * (1 if published.update.nominal_batch else batch_size / published.batch_size)
    config = replace(published, epochs=epochs, batch_size=batch_size, learning_rate=rate, patience=0)
    longest = round(WARMUP_SHARE * config.num_steps(num_images))
    warmup_epochs = None if schedule.warmup_epochs is None else schedule.warmup_epochs * share
    warmup_steps = None if schedule.warmup_steps is None else min(schedule.warmup_steps, longest)
    return replace(
        config,
        schedule=replace(schedule, warmup_epochs=warmup_epochs, warmup_steps=warmup_steps),
        augmentation=replace(config.augmentation, close_mosaic=config.augmentation.close_mosaic * share),
    )


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a row and scores it; returns the result of the cell."""
    design, by = ROWS[row]
    splits = open_data(options.data, split=options.split)
    train_set = splits.train.limited(options.images or len(splits.train))
    val_set = splits.val.limited(options.val_images or len(splits.val))
    published = settings(design, PAPER, options, seed=seed)
    if by == PAPER:
        config = shortened(published, options.epochs, options.batch, len(train_set))
    else:
        config = settings(design, None, options, seed=seed, epochs=options.epochs, batch=options.batch)
    architecture = DESIGNS.get(design).architecture.resized((options.imgsz, options.imgsz))
    before = cells.cpu_seconds()
    detector = fresh_detector(architecture, num_classes=len(train_set.classes), seed=seed)
    result = train(detector, train_set, config=config)
    seconds = cells.cpu_seconds() - before
    detector.load_state_dict(result.state_dict)

    def score(suppression: Suppression) -> dict[str, float]:
        found = detect_dataset(detector.eval(), val_set, suppression=suppression)
        scored = found.score(found.match())
        return {name: getattr(scored, name) for name in cells.SCORES}

    return {
        "row": row,
        "seed": seed,
        "epochs": options.epochs,
        "design": design,
        "recipe": recipe_of(PAPER, design).name if by == PAPER else "default",
        "images": result.images_seen,
        "val_images": len(val_set),
        "skipped_steps": result.bad_steps,
        "cpu_seconds": seconds,
        **score(DEFAULT_SUPPRESSION),
        "ap50_of_recipe": score(published.suppression)["ap50"],
        "settings": config.to_dict(),
    }


def line(found: Sequence[dict[str, Any]]) -> str:
    """Returns the line of the table for a row that has cells."""
    shown = (
        found[0]["design"],
        found[0]["recipe"],
        f"{found[0]['epochs']:g}",
        str(len(found)),
        *(cells.percent(found, name) for name in (*cells.SCORES, "ap50_of_recipe")),
        f"{cells.mean(found, 'cpu_seconds'):.0f}",
    )
    return f"| {' | '.join(shown)} |"


def table(options: argparse.Namespace) -> str:
    """Returns a Markdown table of the cells that have ended."""
    rows = (cells.read_cells(options.out, row, options.seeds) for row in ROWS if row in options.rows)
    return "\n".join(
        (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *(line(each) for each in rows if each))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells.add_options(parser, ROWS)
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--images", type=int, help="training images; default: all")
    parser.add_argument("--val-images", type=int, help="validation images; default: all")
    parser.add_argument("--imgsz", type=int, default=320, help="input of all rows; a multiple of 64 from 320")
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    if cells.run_own_cell(options, run_cell):
        return
    wanted = {"data": str(Path(options.data).resolve()), **{name: getattr(options, name) for name in SAME}}
    cells.check_same(options.out, wanted)
    cells.run_cells(__file__, options)
    print(table(options))


if __name__ == "__main__":
    main()
