"""`nas predict`: draw what trained weights find into pictures and videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify, say
from nas.commands.options import (
    AGNOSTIC,
    compute_options,
    echo_json,
    input_option,
    iou_option,
    json_option,
    plugin_option,
    weights_range_option,
)
from nas.commands.tiling_options import tiling_options

if TYPE_CHECKING:
    from nas.api.media_input import Source
    from nas.api.predict import PredictionStream


@click.command("predict")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/predict"),
    show_default=True,
    help="Folder for the drawn images and videos. Earlier results are replaced, inputs never.",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Minimum score of a detection.",
)
@weights_range_option
@iou_option
@click.option("--agnostic", is_flag=True, help=AGNOSTIC)
@click.option(
    "--max-detections",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Maximum number of detections per image. nas val counts 100, as COCO does.",
)
@tiling_options
@input_option
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Frames or tiles per batch.")
@compute_options
@click.option("--no-pictures", is_flag=True, help="List the detections without drawing them.")
@click.option(
    "--save-json",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="File for the detections, in the COCO result format.",
)
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="COCO annotation file with the image and class ids for --save-json.",
)
@plugin_option
@json_option
def command(
    weights: Path, inputs: tuple[Path, ...], out: Path, no_pictures: bool, as_json: bool, **options: Any
) -> None:
    """Detect objects in INPUTs with trained WEIGHTS and write images and videos with boxes, classes and scores.

    WEIGHTS is what nas val takes, such as a weights file, the folder of a training, or an exported model.onnx.
    INPUT is an image, a video, or a folder of images and videos with its subfolders, which the results keep. Videos are
    read frame by frame. After Ctrl-C, the results so far are kept, including the frames of an incomplete video. Inputs
    are never replaced.

    \b
    Examples:
      nas predict runs/best frame.jpg clip.mp4 --out drawn
      nas predict runs/best frames --out drawn --tile 640
    """
    from nas.api.predict import PredictionStream
    from nas.api.prediction_options import PredictionOptions
    from nas.commands.progress import progress_bar

    chosen = PredictionOptions(out=None if no_pictures else out, **options)
    entries: list[dict[str, Any]] = []
    with progress_bar() as on_progress:
        stream = PredictionStream.open(weights, inputs, chosen, on_notice=notify, on_progress=on_progress)
        try:  # the list is printed however it ends
            with stream:
                for source in stream.sources:
                    if as_json:
                        entries.extend(each.to_dict() for each in stream.look(source))
                    else:
                        say(_line(stream, source))
        finally:
            if as_json:
                echo_json(entries)


def _line(stream: PredictionStream, source: Source) -> str:
    """Detects objects in a source and returns a line with their number."""
    from collections import Counter

    counts: Counter[int] = Counter()
    last = None
    for last in stream.look(source):
        counts.update(each.label for each in last.detections)
    if last is None:
        return f"{source.path}: left out"
    found = ", ".join(f"{counts[label]} {last.classes[label]}" for label in sorted(counts))
    frames = "" if last.frame is None else f"{last.frame} frames, "
    written = "" if last.picture is None else f" -> {last.picture}"
    return f"{source.path}: {frames}{found or 'nothing found'}{written}"
