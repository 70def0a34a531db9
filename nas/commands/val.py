"""`nas val`: measure the accuracy of trained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify, say
from nas.commands.options import (
    data_option,
    echo_json,
    format_option,
    images_option,
    json_option,
    plugin_option,
    split_option,
)
from nas.commands.tiling_options import tiling_options

if TYPE_CHECKING:
    from trainers.evaluation import DatasetDetections
    from trainers.matching import Matches
    from trainers.tiling import Tiling


@click.command("val")
@click.argument("weights", type=click.Path(path_type=Path))
@data_option
@format_option
@images_option
@split_option
@click.option("--part", type=click.Choice(("val", "train")), default="val", show_default=True, help="Which images.")
@click.option(
    "--bins",
    default=None,
    metavar="BINS",
    help="Sizes of objects to report too: coco, tinyperson, quantiles, quantiles:N or edges in px as 0,8,16,32,inf.",
)
@tiling_options
@click.option(
    "--bootstrap",
    "num_resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Resamples of the images for 95 % intervals; 0: none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resamples.")
@click.option("--curves", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Folder for curves.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option(
    "--max-detections",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Of an image, the best; 100 is COCO's rule (nas predict shows up to 300).",
)
@click.option("--batch", "batch_size", type=click.IntRange(min=1), default=8, show_default=True, help="Images at once.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@plugin_option
@json_option
def command(weights: Path, as_json: bool, **options: Any) -> None:
    """Measure AP, AP50, AP by size and more of trained WEIGHTS on a data set.

    WEIGHTS is a file, the folder of a training, or a run or a member of its front. What each number means is told in
    docs/evaluation.md.

    \b
    Examples:
      nas val runs/best --data hit-uav --split block
      nas val runs/best --data hit-uav --bins 0,8,16,32,inf --curves curves
    """
    from nas.api.opening import set_threads
    from nas.api.tiling import tiling_of
    from trainers.sizes import size_bins

    set_threads(options["threads"])
    tiling = tiling_of(options["tile"], options["overlap"], options["tile_whole"])
    if options["bins"] is not None and not options["bins"].startswith("quantiles"):
        size_bins(options["bins"], ())  # a typing error is told before anything is read
    findings, opened = _find(weights, tiling, options)
    chosen = None if options["bins"] is None else size_bins(options["bins"], findings.dataset.records)
    report = {**opened, **_report(findings, findings.match(chosen), options)}
    if as_json:
        echo_json(report)
    else:
        _print(report)


def _find(weights: Path, tiling: Tiling | None, options: dict[str, Any]) -> tuple[DatasetDetections, dict[str, Any]]:
    """Runs the detector and returns what it found, with what was opened for it."""
    from nas.api.data_of_run import with_known_data
    from nas.api.folders import make_folder
    from nas.api.opening import open_for_user
    from nas.api.tiling import small_images_note
    from nas.api.weights_path import weights_file
    from search_space.errors import DataError
    from trainers import load_weights
    from trainers.evaluation import detect_dataset
    from trainers.optimizer import device_for

    path, input_hw = weights_file(weights), options["input_hw"]
    loaded = load_weights(path)
    if input_hw is not None:
        loaded.check_input(input_hw)
    known = with_known_data(options, weights)
    notify(known.notice)
    splits = open_for_user(**known.options, seed=known.seed, on_notice=notify)
    dataset = splits.val if options["part"] == "val" else splits.train
    if tiling is not None:
        notify(small_images_note("--tile", options["part"], dataset, tiling.tile_hw))
    if dataset.classes != loaded.classes:
        raise DataError(
            f"{path} finds {', '.join(loaded.classes)}, the data has {', '.join(dataset.classes)}; "
            "next: --data with the same classes in the same order"
        )
    detector = loaded.detector().to(device_for(options["device"]))
    if options["curves"] is not None:
        make_folder(options["curves"], "--curves")
    hw = input_hw or detector.input_hw
    with _bar(len(dataset)) as on_images:
        findings = detect_dataset(
            detector,
            dataset,
            input_hw=hw,
            batch_size=options["batch_size"],
            tiling=tiling,
            max_detections=options["max_detections"],
            on_images=on_images,
        )
    told = None
    if tiling is not None:
        told = {"tile_hw": list(tiling.tile_hw), "overlap": tiling.overlap, "whole": tiling.whole}
    opened = {
        "weights": str(path),
        "data": splits.source,
        "part": options["part"],
        "input_hw": list(hw),
        "tiling": told,
    }
    return findings, opened


@contextmanager
def _bar(num_images: int) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("images", total=num_images)
        yield lambda number: bar.update(task, completed=number)


def _report(findings: DatasetDetections, matches: Matches, options: dict[str, Any]) -> dict[str, Any]:
    """Returns everything that is measured as plain data, and writes the curves if they were asked for."""
    from dataclasses import asdict

    from nas.api.plain_score import finite, plain_score
    from trainers.confusion import confuse
    from trainers.curves import all_curves

    classes = findings.dataset.classes
    score = plain_score(findings.score(matches))
    assert score is not None
    curves = all_curves(matches, classes)
    confusion = confuse(matches, classes, score_threshold=score["f1_score_threshold"] or 0.0)
    report = {
        "score": score,
        "intervals": _intervals(matches, classes, options["num_resamples"], options["seed"]),
        "best_f1": {each.name: asdict(each.best_f1()) for each in curves[1:]},
        "confusion": {
            "names": list(confusion.names),
            "counts": confusion.counts.tolist(),
            "score_threshold": confusion.score_threshold,
        },
        "unreadable": list(findings.unreadable),
    }
    if options["curves"] is not None:
        report["curves"] = _write_curves(options["curves"], curves, confusion)
    plain: dict[str, Any] = finite(report)
    return plain


def _intervals(matches: Matches, classes: tuple[str, ...], num_resamples: int, seed: int) -> dict[str, Any] | None:
    from dataclasses import asdict

    from trainers.bootstrap import CONFIDENCE, intervals, resample
    from trainers.precision import measure

    if not num_resamples or matches.num_images < 2:
        return None
    found = intervals(measure(matches), resample(matches, num_resamples=num_resamples, seed=seed), classes)
    values = {name: asdict(each) for name, each in found.items()}
    return {"resamples": num_resamples, "seed": seed, "confidence": CONFIDENCE, "values": values}


def _write_curves(folder: Path, curves: list[Any], confusion: Any) -> list[str]:
    from nas.api.curve_files import write_curves, write_plots
    from search_space.errors import ConfigError

    paths = write_curves(folder, curves, confusion)
    try:
        paths += write_plots(folder, curves, confusion)
    except ConfigError as error:  # the numbers are written; the pictures are an extra
        say(f"note: {error}", err=True)
    return [str(path) for path in paths]


def _print(report: dict[str, Any]) -> None:
    from nas.commands.score_display import print_confusion, print_score

    intervals = report["intervals"]
    print_score(report["score"], intervals and intervals["values"])
    if intervals:
        say(
            f"intervals: {100 * intervals['confidence']:g} % over {intervals['resamples']} resamples of the images; "
            "they do not cover what another training would give"
        )
    print_confusion(report["confusion"])
    for path in report.get("curves", ()):
        say(f"written: {path}")
