"""`nas val`: measure the accuracy of trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify, say
from nas.commands.options import (
    AGNOSTIC,
    common_options,
    compute_options,
    data_option,
    echo_json,
    input_option,
    iou_option,
    layout_options,
    weights_range_option,
)
from nas.commands.tiling_options import tiling_options

if TYPE_CHECKING:
    from nas.api.evaluate import EvaluationResult


@click.command("val")
@click.argument("weights", type=click.Path(path_type=Path))
@data_option
@layout_options
@weights_range_option
@click.option(
    "--part",
    type=click.Choice(("val", "train", "test", "all")),
    default="val",
    show_default=True,
    help="Part of the data set to evaluate on; all: every image of it.",
)
@click.option(
    "--bins",
    default=None,
    metavar="BINS",
    help="Object sizes to report AP for: coco, tinyperson, quantiles, quantiles:N or edges in px such as 0,8,16,inf.",
)
@tiling_options
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Bootstrap resamples of the images for the 95 % intervals; 0: no intervals.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the bootstrap.")
@click.option(
    "--curves", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Folder to write curves to."
)
@input_option
@click.option(
    "--max-detections",
    type=click.IntRange(min=1),
    default=None,
    help="Maximum number of detections per image. Default: that of the recipe that the weights were trained with, or "
    "100, which is COCO's rule.",
)
@iou_option
@click.option(
    "--soft-nms/--no-soft-nms",
    default=None,
    help="Lower the scores of boxes that overlap more than --iou instead of dropping them; always so for a two-stage "
    "head. Default: as in the recipe, or drop them.",
)
@click.option(
    "--agnostic/--no-agnostic", default=None, help=f"{AGNOSTIC} Default: as in the recipe, or only of their own."
)
@click.option(
    "--candidate-score",
    type=click.FloatRange(0, 1),
    default=None,
    help="Lowest score of a box before suppression, where soft-NMS lowers scores. Default: that of the recipe, or "
    "--score.",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=None,
    help="Lowest score that counts. Default: that of the recipe, or 0.001.",
)
@click.option(
    "--max-per-class",
    type=click.IntRange(min=1),
    default=None,
    help="Maximum number of detections per image and class. Default: that of the recipe, or no limit.",
)
@click.option(
    "--ignored",
    type=click.Choice(("ignore", "drop")),
    default="ignore",
    show_default=True,
    help="ignore: detections in ignored regions of the data do not count. drop: as if there were no such regions.",
)
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Images per batch.")
@compute_options
@common_options
def command(weights: Path, as_json: bool, **options: Any) -> None:
    """Measure AP, AP50, AP by size and more of trained WEIGHTS on a data set.

    WEIGHTS is a weights file, also one that others published, the folder of a training or a run, or a member of the
    front of a run; or an exported model.onnx, or the folder of an export, which ONNX Runtime runs. docs/evaluation.md
    explains each number.

    \b
    Examples:
      nas val runs/best --data hit-uav --split block
      nas val runs/best --data hit-uav --bins 0,8,16,32,inf --curves curves
      nas val runs/best --data VisDrone2019-DET-test-dev --part all
      nas val exported/KEY/model.onnx --data hit-uav --split block
    """
    from nas.api.evaluate import evaluate
    from nas.commands.progress import progress_bar

    with progress_bar() as on_progress:
        result = evaluate(weights, on_notice=notify, on_progress=on_progress, **options)
    return echo_json(result.to_dict()) if as_json else print_evaluation(result)


def print_evaluation(result: EvaluationResult) -> None:
    """Prints the scores, their intervals, the confusion matrix and the files that were written."""
    from nas.commands.score_display import print_confusion, print_score

    report = result.to_dict()
    intervals = report["intervals"]
    print_score(report["score"], intervals and intervals["values"], report["best_f1"])
    if intervals:
        say(
            f"intervals: {100 * intervals['confidence']:g} % over {intervals['resamples']} resamples of the images; "
            "they do not include the variation between trainings"
        )
    print_confusion(report["confusion"])
    for path in result.curves or ():
        say(f"written: {path}")
