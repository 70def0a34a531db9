"""The accuracy of trained weights on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.arguments import from_arguments
from nas.api.bounds import check_at_least
from nas.api.evaluation_data import check_classes, open_evaluation_data
from nas.api.evaluation_options import EvaluationOptions, suppression_note
from nas.api.exported_detector import ExportedDetector, RunnableDetector, open_detector
from nas.api.plain_score import plain_score
from nas.api.result import OnNotice, OnProgress, ProgressUpdate, Result, notify, plain
from nas.api.trained_detector import WeightsLike
from search_space.errors import ConfigError
from trainers.suppression import Suppression

if TYPE_CHECKING:
    import pandas as pd

    from trainers import Score
    from trainers.bootstrap import Interval
    from trainers.confusion import Confusion
    from trainers.curves import BestF1, Curve
    from trainers.data import Dataset, DataSplits
    from trainers.data.class_selection import Merges, Names
    from trainers.detect import AnyDetector
    from trainers.evaluation import DatasetDetections
    from trainers.matching import Matches
    from trainers.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class ScoreIntervals:
    """Bootstrap intervals of scores over the images; they do not include the variation between trainings."""

    resamples: int
    seed: int
    confidence: float
    values: Mapping[str, Interval]
    """By name: `ap`, `ap50`, `ap_small`, `accuracy`, `bin NAME`, `class NAME`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationResult(Result):
    """The accuracy of a detector on a data set, as fractions of 1."""

    weights: Path
    runtime: str
    """What ran it: `PyTorch`, or ONNX Runtime with its execution provider."""
    data: str
    """Description of the data set."""
    part: str
    input_hw: tuple[int, int]
    tiling: Tiling | None
    iou: float | None
    """The IoU of the suppression; None: the usual reading of the head."""
    suppression: Suppression
    """Which detections were counted."""
    score: Score
    intervals: ScoreIntervals | None
    best_f1: Mapping[str, BestF1]
    """Best F1 by class."""
    confusion: Confusion
    unreadable: tuple[str, ...]
    """A message for each image that could not be read."""
    curves: tuple[Path, ...] | None
    """Files of the curves; None without `curves`."""

    @property
    def frame(self) -> pd.DataFrame:
        """The scores as a table, a row for all classes together and one for each."""
        import pandas as pd

        names = ("ap", "ap50", "ap75", "ap_small", "recall", "num_objects")
        rows = {"all": {name: getattr(self.score, name) for name in names}, **self.score.per_class}
        frame: pd.DataFrame = pd.DataFrame.from_dict(rows, orient="index")
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data; a score without a value is None."""
        fields = {name: value for name, value in vars(self).items() if name != "curves" or value is not None}
        confusion = {
            "names": self.confusion.names,
            "counts": self.confusion.counts.tolist(),
            "score_threshold": self.confusion.score_threshold,
        }
        told: dict[str, Any] = plain({**fields, "score": plain_score(self.score), "confusion": confusion})
        return told


def evaluate(
    weights: WeightsLike | ExportedDetector,
    *,
    data: str | Path | None = None,
    format: str | None = None,
    images: str | Path | None = None,
    split: str | None = None,
    classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    range: tuple[float, float] | None = None,
    part: str = "val",
    bins: str | None = None,
    tile: str | int | tuple[int, int] | None = None,
    overlap: float | None = None,
    tile_whole: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
    curves: str | Path | None = None,
    input_hw: tuple[int, int] | None = None,
    max_detections: int | None = None,
    iou: float | None = None,
    soft_nms: bool | None = None,
    agnostic: bool | None = None,
    candidate_score: float | None = None,
    score: float | None = None,
    max_per_class: int | None = None,
    ignored: str = "ignore",
    batch: int = 8,
    device: str = "auto",
    threads: int | None = None,
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> EvaluationResult:
    """Measures the average precision and more of a detector on a data set, by the COCO rules.

    Limits of the detections that are not given are those of the training of the weights, if it had a recipe with some.

    Args:
        weights: a weights file, the folder of a training or a run, or an object with `weights`; or an exported ONNX
            file, or the folder of an export, whose ONNX file is run by ONNX Runtime.
        data: the data set; None: that of the training or the run of the weights, else the built-in set.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        images: folder of the images, if they are not beside the annotations.
        split: which pair of annotation files to use, if the folder holds several.
        classes: names of the classes to use, in this order; None: all, or as the weights were trained.
        merge: classes that become one: `NAME=CLASS,CLASS`, several of these, or a mapping.
        other_classes: what the boxes of other classes become: `background` or `ignore`; None: `background`.
        range: the values that become 0 and 255 in images of more than 8 bits; None: those of the weights, else
            percentiles of a sample of the training images.
        part: `val`, `train`, `test`, or `all` for every image of the data set.
        bins: object sizes to report AP for: `coco`, `tinyperson`, `quantiles`, or edges in pixels such as `0,8,16,inf`.
        tile: size of the tiles in pixels, one number or `(H, W)`; None: no tiles.
        overlap: overlap of neighbouring tiles, as a share of a tile; None: 0.2.
        tile_whole: whether to detect in the whole image too.
        bootstrap: bootstrap resamples of the images for the 95 % intervals; 0: no intervals.
        seed: seed of the bootstrap.
        curves: folder to write curves to.
        input_hw: input size `(H, W)` in pixels; None: that of the detector.
        max_detections: maximum number of detections per image; None: 100.
        iou: maximum IoU of two boxes of a class; None: 0.6, or no suppression for a one-to-one head.
        soft_nms: whether boxes with a higher IoU get lower scores instead of being dropped; always so for a two-stage
            head. None: they are dropped.
        agnostic: whether boxes of different classes suppress each other, too. None: they do not.
        candidate_score: lowest score of a box before suppression; None: `score`.
        score: lowest score that counts; None: 0.001.
        max_per_class: maximum number of detections per image and class; None: no limit.
        ignored: `ignore`: detections in ignored regions do not count; `drop`: there are no such regions.
        batch: images per batch.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; None: all.
        on_notice: is called with lines on the data that is used.
        on_progress: is called after each batch.

    Raises:
        UserError: the weights or the data cannot be used, or an option is wrong.
    """
    options = from_arguments(EvaluationOptions, locals(), curves=None if curves is None else Path(curves))
    check_at_least("--threads", threads, 1)
    tiling = tiling_from(tile, overlap, tile_whole)
    loaded = open_detector(weights)
    loaded.check_input(input_hw or loaded.input_hw)
    selection = {"select_classes": classes or None, "merge": merge or None, "other_classes": other_classes}
    places = {"data": data, "data_format": format, "images": images, "split": split}
    given = {**places, **selection, "pixel_range": range or loaded.pixel_range}
    place = Path(weights) if isinstance(weights, (str, Path)) else loaded.weights
    splits = open_evaluation_data(given, place, loaded.classes, part=part, on_notice=on_notice)
    return _evaluate(loaded, splits, options, tiling, threads, (on_notice, on_progress))


def tiling_from(tile: str | int | tuple[int, int] | None, overlap: float | None, tile_whole: bool) -> Tiling | None:
    """Returns the tiling that a caller asks for; None for the whole image.

    Args:
        tile: side of a tile in pixels, or `(H, W)`, or either as text.
        overlap: overlap of neighbouring tiles, as a share of a tile.
        tile_whole: whether to detect in the whole image too.

    Raises:
        ConfigError: the size is invalid, or another option was given without it.
    """
    from nas.api.tiling import tiling_of

    if isinstance(tile, tuple):
        tile = "x".join(map(str, tile))
    return tiling_of(None if tile is None else str(tile), overlap, tile_whole)


def _evaluate(
    loaded: RunnableDetector,
    splits: DataSplits,
    options: EvaluationOptions,
    tiling: Tiling | None,
    threads: int | None,
    callbacks: tuple[OnNotice | None, OnProgress | None],
) -> EvaluationResult:
    from nas.api.folders import make_folder
    from nas.api.opening import set_threads
    from nas.api.tiling import grid_note, small_images_note
    from trainers.confusion import confuse
    from trainers.curves import all_curves
    from trainers.sizes import size_bins

    on_notice, on_progress = callbacks
    dataset = splits.part(options.part)
    dataset = dataset.without_ignored() if options.ignored == "drop" else dataset
    if tiling is not None:
        notify(on_notice, small_images_note("--tile", options.part, dataset, tiling.tile_hw))
    notify(on_notice, grid_note(loaded.tiles, tiling))
    for note in loaded.notes:
        notify(on_notice, f"note: {note}")
    check_classes(loaded.weights, loaded, dataset.classes, on_notice)
    set_threads(threads)
    if options.curves is not None:
        make_folder(options.curves, "--curves")
    suppression = options.suppression_of(loaded)
    notify(on_notice, suppression_note(loaded))
    detector = loaded.runner(options.device, threads)
    findings = _find(detector, dataset, options, suppression, tiling, on_progress)
    matches = findings.match(None if options.bins is None else size_bins(options.bins, dataset.records))
    score, curves = findings.score(matches), all_curves(matches, dataset.classes)
    threshold = score.f1_score_threshold
    confusion = confuse(matches, dataset.classes, score_threshold=threshold if threshold == threshold else 0.0)
    return EvaluationResult(
        weights=loaded.weights,
        runtime=getattr(detector, "runtime", "PyTorch"),
        data=splits.source,
        part=options.part,
        input_hw=options.input_hw or loaded.input_hw,
        tiling=tiling,
        iou=suppression.iou,
        suppression=suppression,
        score=score,
        intervals=_intervals(matches, dataset.classes, options),
        best_f1={each.name: each.best_f1() for each in curves[1:]},
        confusion=confusion,
        unreadable=tuple(findings.unreadable),
        curves=None if options.curves is None else _write_curves(options.curves, curves, confusion, on_notice),
    )


def _find(
    detector: AnyDetector,
    dataset: Dataset,
    options: EvaluationOptions,
    suppression: Suppression,
    tiling: Tiling | None,
    on_progress: OnProgress | None,
) -> DatasetDetections:
    from trainers.evaluation import detect_dataset

    def on_images(number: int) -> None:
        if on_progress is not None:
            on_progress(ProgressUpdate(task="images", done=number, total=len(dataset)))

    return detect_dataset(
        detector,
        dataset,
        input_hw=options.input_hw or detector.input_hw,
        batch_size=options.batch,
        tiling=tiling,
        suppression=suppression,
        on_images=on_images,
    )


def _intervals(matches: Matches, classes: tuple[str, ...], options: EvaluationOptions) -> ScoreIntervals | None:
    from trainers.bootstrap import CONFIDENCE, intervals, resample
    from trainers.precision import measure

    if not options.bootstrap or matches.num_images < 2:
        return None
    drawn = resample(matches, num_resamples=options.bootstrap, seed=options.seed)
    return ScoreIntervals(
        resamples=options.bootstrap,
        seed=options.seed,
        confidence=CONFIDENCE,
        values=intervals(measure(matches), drawn, classes),
    )


def _write_curves(
    folder: Path, curves: list[Curve], confusion: Confusion, on_notice: OnNotice | None
) -> tuple[Path, ...]:
    from nas.api.curve_files import write_curves, write_plots

    paths = write_curves(folder, curves, confusion)
    try:
        paths += write_plots(folder, curves, confusion)
    except ConfigError as error:  # the numbers are written; the pictures are an extra
        notify(on_notice, f"note: {error}")
    return tuple(paths)
