"""`nas predict`: draw what trained weights find into pictures and videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nas.commands.display import say
from nas.commands.options import echo_json, json_option, plugin_option
from nas.commands.tiling_options import tiling_options

if TYPE_CHECKING:
    from nas.api.media_input import Source
    from nas.api.media_output import Listing, Pictures
    from search_space import Detector


@click.command("predict")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/predict"),
    show_default=True,
    help="Folder for pictures and videos; what an earlier call wrote there is replaced, an input never.",
)
@click.option(
    "--score",
    "score_threshold",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="What scores less is left out.",
)
@click.option(
    "--iou",
    "iou_threshold",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    help="Two boxes of a class that overlap more are one object.",
)
@click.option(
    "--max-detections",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Of an image, the best; enough for crowded pictures (nas val counts 100, as COCO does).",
)
@tiling_options
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), default=8, show_default=True, help="Frames or slices at once."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@click.option("--no-pictures", is_flag=True, help="Draw nothing, only list.")
@click.option(
    "--save-json", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Results in COCO's format."
)
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="COCO annotation file whose image and class ids --save-json uses.",
)
@plugin_option
@json_option
def command(weights: Path, inputs: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Find objects in INPUTs with trained WEIGHTS and write pictures and videos with boxes, classes and scores.

    INPUT is a picture, a folder of pictures and videos, or a video; videos are read frame by frame. Ctrl-C keeps what
    is whole, of a video the frames so far, and prints and writes the lists so far. No input is ever written over.

    \b
    Examples:
      nas predict runs/best frame.jpg clip.mp4 --out drawn
      nas predict runs/best frames --out drawn --tile 640
    """
    from nas.api.media_input import list_sources
    from nas.api.media_output import CocoIds, Listing, Pictures
    from nas.api.opening import set_threads
    from nas.api.tiling import tiling_of
    from nas.api.weights_path import weights_file
    from search_space.errors import ConfigError
    from search_space.files import write_text
    from trainers import load_weights
    from trainers.detect import evaluation_mode
    from trainers.optimizer import device_for

    set_threads(options["threads"])
    if options["ids"] is not None and options["save_json"] is None:
        raise ConfigError("--ids says which ids --save-json uses; give --save-json FILE too")
    options["tiling"] = tiling_of(options["tile"], options["overlap"], options["tile_whole"])
    path = weights_file(weights)
    loaded = load_weights(path)
    if options["input_hw"] is not None:
        loaded.check_input(options["input_hw"])
    sources = list_sources(inputs)
    ids = CocoIds.read(options["ids"], loaded.classes, sources)
    listing = Listing(classes=loaded.classes, ids=ids, detailed=as_json or options["save_json"] is not None)
    detector = loaded.detector().to(device_for(options["device"]))
    pictures = None if options["no_pictures"] else Pictures.into(options["out"], sources)
    _ready_to_write(pictures, options, inputs=[path, *(source.path for source in sources)])
    try:
        with evaluation_mode(detector), _bar(sources) as bar:
            for source in sources:
                _look(source, detector, listing, pictures, options, bar)
                if not as_json:
                    bar.say(listing.line(source))
    finally:  # whatever ends this, what is whole stays
        if as_json:
            echo_json(listing.entries)
        if pictures:
            pictures.close()
        if options["save_json"] is not None:
            write_text(options["save_json"], json.dumps(listing.results) + "\n")


def _ready_to_write(pictures: Pictures | None, options: dict[str, Any], *, inputs: list[Path]) -> None:
    """Makes the folders that are written to.

    Raises:
        ConfigError: an input would be written over, or a folder cannot be written to.
    """
    from nas.api.folders import make_folder
    from nas.api.media_output import check_not_inputs
    from search_space.errors import ConfigError

    results, ids = options["save_json"], options["ids"]
    inputs = inputs if ids is None else [*inputs, ids]
    if pictures:
        check_not_inputs("--out", pictures.files(), inputs)
    if results is not None:
        if results.is_dir():
            raise ConfigError(f"--save-json {results} is a folder; give a file")
        check_not_inputs("--save-json", [results], inputs)
        make_folder(results.parent, "--save-json")
    if pictures:
        make_folder(options["out"], "--out")


def _look(
    source: Source,
    detector: Detector,
    listing: Listing,
    pictures: Pictures | None,
    options: dict[str, Any],
    bar: Bar,
) -> None:
    """Goes through the images of a picture or a video, some at once."""
    from itertools import islice

    from nas.api.media_input import shots
    from nas.api.media_output import draw
    from trainers.heads import DetectionLimits
    from trainers.tiling import detect_all

    names = ("score_threshold", "iou_threshold", "max_detections")
    limits = DetectionLimits(**{name: options[name] for name in names}, one_class=True)
    images = shots(source, on_broken=lambda note: say(f"note: {note}", err=True))
    while chunk := list(islice(images, options["batch_size"])):
        found = detect_all(
            detector,
            [shot.pixels for shot in chunk],
            input_hw=options["input_hw"] or detector.input_hw,
            limits=limits,
            tiling=options["tiling"],
            batch_size=options["batch_size"],
        )
        for shot, each in zip(chunk, found, strict=True):
            path = pictures.write(shot, draw(shot.pixels, each, listing.classes)) if pictures else None
            listing.add(shot, each, path)
        bar.done(len(chunk))
    if pictures:
        pictures.close()


class Bar(NamedTuple):
    """What tells the user how far it is."""

    done: Callable[[int], None]
    say: Callable[[str], None]


@contextmanager
def _bar(sources: Sequence[Source]) -> Iterator[Bar]:
    """Shows images done, rate and time left on standard error where that is a terminal."""
    import sys
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console, total = Console(stderr=True), sum(source.num_frames or 1 for source in sources)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    shown = console.is_terminal and total > 1
    to_terminal = sys.stdout.isatty()  # otherwise what is piped to a file would be shown above the bar instead
    with Progress(*columns, console=console, transient=True, disable=not shown, redirect_stdout=to_terminal) as bar:
        task, started = bar.add_task("", total=total), time.perf_counter()

        def done(number: int) -> None:
            bar.advance(task, number)
            rate = bar.tasks[0].completed / (time.perf_counter() - started)
            bar.update(task, description=f"{rate:.1f} images/s")

        yield Bar(done, say)
